/**
 * The messages of SFTP version 3: a length, a type, a request number, then fields; numbers are big-endian.
 * Format: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for the extensions. Proof: test/sftp-messages.test.ts.
 * @module
 */
import { StorageError } from "@dm/core";

export const messageType = Object.freeze({
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  fstat: 8,
  fsetstat: 10,
  openDirectory: 11,
  readDirectory: 12,
  remove: 13,
  makeDirectory: 14,
  stat: 17,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
  extended: 200,
  extendedReply: 201,
});

export const statusCode = Object.freeze({
  ok: 0,
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
});

export const openFlags = Object.freeze({ read: 1, write: 2, create: 8, exclusive: 0x20 });

/** A number is a uint32, a bigint a uint64, text and bytes have their length in front; `raw` is written as it is. */
export type Field = number | bigint | string | Uint8Array | { readonly raw: Uint8Array };

/** What the server tells of a file; undefined where it tells nothing. */
export interface FileAttributes {
  readonly size: number | undefined;
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number | undefined;
  /** Seconds since 1970. */
  readonly modifiedAtSeconds: number | undefined;
}

export interface DirectoryName {
  readonly name: string;
  readonly attributes: FileAttributes;
}

/** An answer, its request number taken off. */
export interface Message {
  readonly type: number;
  readonly body: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A whole message, its length in front. */
export function encodeMessage(type: number, fields: readonly Field[]): Uint8Array {
  const parts = fields.map((field) => (typeof field === "string" ? encoder.encode(field) : field));
  let length = 5;
  for (const part of parts) {
    if (typeof part === "number") length += 4;
    else if (typeof part === "bigint") length += 8;
    else length += "raw" in part ? part.raw.length : 4 + part.length;
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length - 4);
  bytes[4] = type;
  let at = 5;
  for (const part of parts) {
    if (typeof part === "number") {
      view.setUint32(at, part);
      at += 4;
    } else if (typeof part === "bigint") {
      view.setBigUint64(at, part);
      at += 8;
    } else if ("raw" in part) {
      bytes.set(part.raw, at);
      at += part.raw.length;
    } else {
      view.setUint32(at, part.length);
      bytes.set(part, at + 4);
      at += 4 + part.length;
    }
  }
  return bytes;
}

/** Attributes that change only the times; both are set, as the protocol knows no other way. */
export function timeAttributes(seconds: number): readonly Field[] {
  return [8, seconds, seconds];
}

/** Reads the fields of an answer one after the other. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  /** A view into the answer. */
  bytes(): Uint8Array {
    const length = this.uint32();
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  text(): string {
    return decoder.decode(this.bytes());
  }

  attributes(): FileAttributes {
    const flags = this.uint32();
    const size = flags & 1 ? Number(this.uint64()) : undefined;
    if (flags & 2) this.#take(8);
    const mode = flags & 4 ? this.uint32() : undefined;
    let modifiedAtSeconds: number | undefined;
    if (flags & 8) {
      this.#take(4);
      modifiedAtSeconds = this.uint32();
    }
    if (flags & 0x80000000) {
      for (let count = this.uint32(); count > 0; count--) {
        this.bytes();
        this.bytes();
      }
    }
    return { size, mode, modifiedAtSeconds };
  }

  names(): DirectoryName[] {
    const names: DirectoryName[] = [];
    for (let count = this.uint32(); count > 0; count--) {
      const name = this.text();
      this.bytes();
      names.push({ name, attributes: this.attributes() });
    }
    return names;
  }

  #take(length: number): number {
    const from = this.#at;
    if (length > this.#bytes.length - from) throw invalidMessage("an answer is cut short");
    this.#at = from + length;
    return from;
  }
}

export function invalidMessage(reason: string): StorageError {
  return new StorageError(
    "DM_STORE_ANSWER_INVALID",
    `the server does not speak SFTP as it should: ${reason}`,
    {},
  );
}

/** Longest message that a server may send: a page of names from OpenSSH has at most 256 KiB. */
const maxMessageBytes = 1 << 20;

/** Puts messages together from the pieces of a stream. Answers share no memory with the pieces. */
export class MessageAssembler {
  #pieces: Uint8Array[] = [];
  #buffered = 0;
  #wanted = 4;

  /**
   * The messages that are complete now, as type and what follows it.
   * @throws {StorageError} `DM_STORE_ANSWER_INVALID` for a length that no message has
   */
  *add(piece: Uint8Array): Generator<Message> {
    this.#pieces.push(piece);
    this.#buffered += piece.length;
    while (this.#buffered >= this.#wanted) {
      const bytes = this.#joined();
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      let at = 0;
      this.#wanted = 4;
      while (bytes.length - at >= 4) {
        const length = view.getUint32(at);
        if (length < 1 || length > maxMessageBytes) throw invalidMessage("a length is impossible");
        if (bytes.length - at < 4 + length) {
          this.#wanted = 4 + length;
          break;
        }
        // A copy, and a plain array: the slice of a Buffer would share its memory.
        const body = new Uint8Array(bytes.subarray(at + 5, at + 4 + length));
        at += 4 + length;
        yield { type: bytes[at - length] as number, body };
      }
      const rest = bytes.subarray(at);
      this.#pieces = rest.length > 0 ? [rest] : [];
      this.#buffered = rest.length;
      if (this.#wanted > this.#buffered) break;
    }
  }

  #joined(): Uint8Array {
    if (this.#pieces.length === 1) return this.#pieces[0]!;
    const whole = new Uint8Array(this.#buffered);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}
