/**
 * Files through one stream, on one machine as from one to another, as clusters cannot see the disks of whoever starts the demo: for
 * each entry the length of its header in four bytes, the header in JSON, and the bytes; a length of 0 is the end. What is no file,
 * directory or link is left out; owners are those of the receiver.
 * Proof: test/demo-pod.test.ts.
 * @module
 */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";

interface Header {
  /** Relative; "" is the target itself, for a device. */
  readonly path: string;
  readonly type: "file" | "directory" | "link";
  readonly mode: number;
  readonly mtimeMs: number;
  readonly size: number;
  readonly target?: string;
}

const maxHeaderBytes = 1 << 16;

/** What {@link receiveFiles} reads: each source in a folder of its name, until `limitBytes`. */
export async function* sendFiles(
  sources: readonly string[],
  limitBytes: number,
): AsyncGenerator<Buffer> {
  let left = limitBytes;
  const send = async function* (from: string, path: string): AsyncGenerator<Buffer> {
    const status = await lstat(from);
    const { mode, mtimeMs, size } = status;
    const common = { path, mode: mode & 0o7777, mtimeMs };
    if (status.isDirectory()) {
      yield head({ ...common, type: "directory", size: 0 });
      for (const name of (await readdir(from)).sort())
        if (left > 0) yield* send(join(from, name), `${path}/${name}`);
    } else if (status.isSymbolicLink())
      yield head({ ...common, type: "link", size: 0, target: await readlink(from) });
    else if (status.isFile() && size <= left) {
      left -= size;
      yield head({ ...common, type: "file", size });
      yield* content(from, size);
    }
  };
  for (const source of sources) yield* send(source, basename(source));
  yield Buffer.alloc(4);
}

/** One file, for the device or file that the receiver was told. */
export async function* sendImage(file: string): AsyncGenerator<Buffer> {
  const { mtimeMs, size } = await lstat(file);
  yield head({ path: "", type: "file", mode: 0o600, mtimeMs, size });
  yield* content(file, size);
  yield Buffer.alloc(4);
}

function head(header: Header): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
}

async function* content(path: string, size: number): AsyncGenerator<Buffer> {
  const file = await open(path, "r");
  try {
    for (let at = 0; at < size; ) {
      const buffer = Buffer.alloc(Math.min(256 << 10, size - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

export interface Received {
  readonly files: number;
  readonly bytes: number;
}

/** @throws {Error} when the stream ends early or names a path outside the target */
export async function receiveFiles(
  stream: AsyncIterable<Buffer>,
  target: string,
): Promise<Received> {
  const reader = new Reader(stream);
  const received = { files: 0, bytes: 0 };
  /** Set last, from the inside out: what is written in a directory changes it. */
  const directories: Header[] = [];
  for (;;) {
    const length = (await reader.take(4)).readUInt32BE();
    if (length === 0) break;
    if (length > maxHeaderBytes) throw new Error("the stream is no stream of files");
    const header = JSON.parse((await reader.take(length)).toString()) as Header;
    const path = pathIn(target, header.path);
    if (header.type === "directory") {
      mkdirSync(path, { recursive: true });
      directories.push(header);
    } else if (header.type === "link") {
      symlinkSync(header.target ?? "", path);
      lutimesSync(path, header.mtimeMs / 1000, header.mtimeMs / 1000);
    } else {
      await writeFile(reader, path, header);
      received.files += 1;
      received.bytes += header.size;
    }
  }
  for (const { mode, mtimeMs, path } of directories.reverse()) {
    chmodSync(pathIn(target, path), mode);
    lutimesSync(pathIn(target, path), mtimeMs / 1000, mtimeMs / 1000);
  }
  return received;
}

function pathIn(target: string, path: string): string {
  if (path === "") return target;
  const clean = normalize(path);
  if (clean.startsWith("/") || clean.startsWith("..")) throw new Error(`${path} leads outside`);
  return join(target, clean);
}

async function writeFile(reader: Reader, path: string, header: Header): Promise<void> {
  const isTarget = header.path === "";
  if (!isTarget) mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, isTarget ? "r+" : "w", header.mode);
  try {
    for (let left = header.size; left > 0; ) {
      const piece = await reader.takeSome(left);
      writeSync(file, piece);
      left -= piece.length;
    }
    if (isTarget) fsyncSync(file);
  } finally {
    closeSync(file);
  }
  if (isTarget) return;
  chmodSync(path, header.mode);
  lutimesSync(path, header.mtimeMs / 1000, header.mtimeMs / 1000);
}

class Reader {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Buffer>) {
    this.#pieces = stream[Symbol.asyncIterator]();
  }

  /** At least one byte, at most `length`. */
  async takeSome(length: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#pieces.next();
      if (done) throw new Error("the stream ended too early");
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const piece = await this.takeSome(left);
      parts.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(parts);
  }
}
