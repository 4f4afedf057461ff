/**
 * Requests and answers of SFTP over one stream: numbered, many under way at once, watched for silence.
 * Proof: test/sftp-faults.test.ts, test/sftp.sshd.test.ts.
 * @module
 */
import type { Readable, Writable } from "node:stream";
import { StorageError } from "@dm/core";
import {
  type DirectoryName,
  encodeMessage,
  type Field,
  FieldReader,
  type FileAttributes,
  invalidMessage,
  type Message,
  MessageAssembler,
  messageType,
  openFlags,
  statusCode,
  timeAttributes,
} from "./sftp-messages.ts";

/** A connection to an SFTP server, however it was made. */
export interface SftpChannel {
  readonly input: Readable;
  readonly output: Writable;
  /** Ends the connection; a second time does nothing. */
  close(): void;
  /** What else is known when the stream ends without a word: the last lines of a program. */
  reason?(): string;
}

/** A refusal of the server. */
export class SftpStatus extends Error {
  override readonly name = "SftpStatus";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const fsync = "fsync@openssh.com";
const hardLink = "hardlink@openssh.com";
const posixRename = "posix-rename@openssh.com";
const fileSystemFacts = "statvfs@openssh.com";

/** What servers may know beyond version 3; {@link SftpSession.has} tells. */
export const sftpExtension = Object.freeze({ fsync, hardLink, posixRename, fileSystemFacts });

type Handle = Uint8Array;

interface Pending {
  resolve(message: Message): void;
  reject(error: unknown): void;
}

/** Printable text of a stranger, for one line. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);

export class SftpSession {
  readonly #channel: SftpChannel;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  readonly #assembler = new MessageAssembler();
  readonly #extensions = new Set<string>();
  readonly #onClosed: () => void;
  #greeting: Pending | undefined;
  #nextId = 1;
  #heardAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failure: unknown;

  /** `onClosed` hears once, when nothing can be asked any more. */
  static async open(
    channel: SftpChannel,
    timeoutMs: number,
    onClosed: () => void,
  ): Promise<SftpSession> {
    const session = new SftpSession(channel, timeoutMs, onClosed);
    await session.#greet();
    return session;
  }

  private constructor(channel: SftpChannel, timeoutMs: number, onClosed: () => void) {
    this.#channel = channel;
    this.#timeoutMs = timeoutMs;
    this.#onClosed = onClosed;
    channel.input.on("data", (piece: Uint8Array) => this.#receive(piece));
    const lost = (cause?: unknown): void => this.fail(this.#connectionLost(cause));
    channel.input.on("error", lost);
    channel.input.on("end", () => lost());
    channel.input.on("close", () => lost());
    channel.output.on("error", lost);
  }

  has(extension: string): boolean {
    return this.#extensions.has(extension);
  }

  async openFile(path: string, flags: number): Promise<Handle> {
    return this.#handle(await this.#request(messageType.open, [path, flags, 0]));
  }

  openForReading(path: string): Promise<Handle> {
    return this.openFile(path, openFlags.read);
  }

  createExclusively(path: string): Promise<Handle> {
    return this.openFile(path, openFlags.write | openFlags.create | openFlags.exclusive);
  }

  closeHandle(handle: Handle): Promise<void> {
    return this.#done(messageType.close, [handle]);
  }

  /** At most `length` bytes, perhaps fewer; none at the end of the file. A view into the answer, which is the caller's. */
  async read(handle: Handle, offset: number, length: number): Promise<Uint8Array> {
    const fields = [handle, BigInt(offset), length];
    const answer = await this.#request(messageType.read, fields);
    if (answer.type === messageType.status) {
      const { status, error } = this.#status(answer);
      if (status === statusCode.endOfFile) return new Uint8Array(0);
      throw error;
    }
    if (answer.type !== messageType.data) throw invalidMessage("no data for a read");
    const bytes = new FieldReader(answer.body).bytes();
    if (bytes.length > length) throw invalidMessage("more data than asked for");
    return bytes;
  }

  write(handle: Handle, offset: number, data: Uint8Array): Promise<void> {
    return this.#done(messageType.write, [handle, BigInt(offset), data]);
  }

  async stat(path: string): Promise<FileAttributes> {
    return this.#attributes(await this.#request(messageType.stat, [path]));
  }

  async statHandle(handle: Handle): Promise<FileAttributes> {
    return this.#attributes(await this.#request(messageType.fstat, [handle]));
  }

  setTime(handle: Handle, seconds: number): Promise<void> {
    return this.#done(messageType.fsetstat, [handle, ...timeAttributes(seconds)]);
  }

  async openDirectory(path: string): Promise<Handle> {
    return this.#handle(await this.#request(messageType.openDirectory, [path]));
  }

  /** A page of names; undefined after the last. */
  async readDirectory(handle: Handle): Promise<DirectoryName[] | undefined> {
    const answer = await this.#request(messageType.readDirectory, [handle]);
    if (answer.type === messageType.name) return new FieldReader(answer.body).names();
    const { status, error } = this.#status(answer);
    if (status === statusCode.endOfFile) return undefined;
    throw error;
  }

  remove(path: string): Promise<void> {
    return this.#done(messageType.remove, [path]);
  }

  /** Modes are the server's business: its umask decides. */
  makeDirectory(path: string): Promise<void> {
    return this.#done(messageType.makeDirectory, [path, 0]);
  }

  /** What is there under the new name is replaced, in one step. */
  renameOver(from: string, to: string): Promise<void> {
    return this.#done(messageType.extended, [posixRename, from, to]);
  }

  link(existing: string, name: string): Promise<void> {
    return this.#done(messageType.extended, [hardLink, existing, name]);
  }

  sync(handle: Handle): Promise<void> {
    return this.#done(messageType.extended, [fsync, handle]);
  }

  /** Bytes of the volume that holds `path`. */
  async capacity(path: string): Promise<{ capacityBytes: number; availableBytes: number }> {
    const answer = await this.#request(messageType.extended, [fileSystemFacts, path]);
    if (answer.type !== messageType.extendedReply) throw this.#status(answer).error;
    const reader = new FieldReader(answer.body);
    reader.uint64();
    const unitBytes = Number(reader.uint64());
    const blocks = Number(reader.uint64());
    reader.uint64();
    const available = Number(reader.uint64());
    return { capacityBytes: blocks * unitBytes, availableBytes: available * unitBytes };
  }

  close(): void {
    this.fail(
      new StorageError("DM_STORE_UNREACHABLE", "the store was closed", {}, { retryable: false }),
    );
  }

  /** Everything under way, and everything later, fails with this. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearTimeout(this.#timer);
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    if (this.#greeting) waiting.push(this.#greeting);
    this.#channel.close();
    this.#onClosed();
    for (const { reject } of waiting) reject(error);
  }

  #connectionLost(cause: unknown): StorageError {
    const more = printable(this.#channel.reason?.() ?? "").trim();
    const text = `the connection to the SFTP server was lost${more === "" ? "" : `: ${more}`}`;
    return new StorageError("DM_STORE_UNREACHABLE", text, {}, { cause, retryable: true });
  }

  async #greet(): Promise<void> {
    const answer = await new Promise<Message>((resolve, reject) => {
      this.#greeting = { resolve, reject };
      this.#watch();
      this.#channel.output.write(encodeMessage(messageType.init, [3]));
    });
    this.#greeting = undefined;
    if (answer.type !== messageType.version) throw invalidMessage("no version");
    const reader = new FieldReader(answer.body);
    reader.uint32();
    while (!reader.done) {
      this.#extensions.add(reader.text());
      reader.bytes();
    }
  }

  #receive(piece: Uint8Array): void {
    this.#heardAt = performance.now();
    try {
      for (const message of this.#assembler.add(piece)) this.#dispatch(message);
    } catch (error) {
      this.fail(error);
    }
  }

  #dispatch(message: Message): void {
    if (this.#greeting) {
      this.#greeting.resolve(message);
      return;
    }
    const id = new FieldReader(message.body).uint32();
    const waiting = this.#pending.get(id);
    if (!waiting) throw invalidMessage("an answer to nothing");
    this.#pending.delete(id);
    waiting.resolve({ type: message.type, body: message.body.subarray(4) });
  }

  #request(type: number, fields: readonly Field[]): Promise<Message> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#watch();
      this.#channel.output.write(encodeMessage(type, [id, ...fields]));
    });
  }

  /** While something is owed, the server may not be silent for longer than the timeout. */
  #watch(): void {
    if (this.#timer !== undefined) return;
    this.#heardAt = performance.now();
    const check = (): void => {
      this.#timer = undefined;
      if (this.#pending.size === 0 && !this.#greeting) return;
      const leftMs = this.#heardAt + this.#timeoutMs - performance.now();
      if (leftMs > 0) this.#timer = setTimeout(check, Math.ceil(leftMs));
      else this.fail(silence(this.#timeoutMs));
    };
    this.#timer = setTimeout(check, this.#timeoutMs);
    // A connection that waits for nothing keeps no process alive through its watch.
    this.#timer.unref();
  }

  #status(answer: Message): { status: number; error: Error } {
    if (answer.type !== messageType.status) {
      return { status: -1, error: invalidMessage(`an answer of type ${answer.type}`) };
    }
    const reader = new FieldReader(answer.body);
    const status = reader.uint32();
    const message = reader.done ? "" : printable(reader.text());
    return { status, error: new SftpStatus(status, message || `status ${status}`) };
  }

  async #done(type: number, fields: readonly Field[]): Promise<void> {
    const { error, status } = this.#status(await this.#request(type, fields));
    if (status !== statusCode.ok) throw error;
  }

  #handle(answer: Message): Handle {
    if (answer.type !== messageType.handle) throw this.#status(answer).error;
    return new FieldReader(answer.body).bytes();
  }

  #attributes(answer: Message): FileAttributes {
    if (answer.type !== messageType.attributes) throw this.#status(answer).error;
    return new FieldReader(answer.body).attributes();
  }
}

/** For a server that owes an answer. */
export function silence(timeoutMs: number): StorageError {
  return new StorageError(
    "DM_STORE_TIMEOUT",
    `no answer of the SFTP server within ${timeoutMs} ms`,
    { timeoutMs },
    { retryable: true },
  );
}
