/**
 * Tar archives of small files in memory: what a backup's items are kept in. Written as POSIX ustar, with a pax record where a name
 * is too long for it; read from whatever Go's archive/tar writes (ustar, pax, GNU long names).
 * Proof: test/bucket/tar-codec.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

export interface TarFile {
  /** With slashes, relative. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

const block = 512;
const text = new TextDecoder();

/** The archive: files with mode 0755 and the given time, in the given order. */
export function encodeTar(files: Iterable<TarFile>, modifiedAt: Date): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { bytes, path } of files) {
    const name = Buffer.from(path);
    if (name.length > 100) {
      const record = paxRecord("path", path);
      parts.push(header("pax", record.length, "x", modifiedAt), padded(record));
    }
    parts.push(header(name.subarray(0, 100), bytes.length, "0", modifiedAt), padded(bytes));
  }
  parts.push(new Uint8Array(2 * block));
  return Buffer.concat(parts);
}

/**
 * The regular files. Directories, links and whatever else there may be are passed over.
 * @throws {FormatError} `DM_TAR_INVALID`
 */
export function* decodeTar(archive: Uint8Array): Generator<TarFile> {
  let at = 0;
  let longName: string | undefined;
  while (at + block <= archive.length) {
    const head = archive.subarray(at, at + block);
    if (head.every((byte) => byte === 0)) return;
    checkSum(head, at);
    const length = octal(head.subarray(124, 136), at);
    const body = archive.subarray(at + block, at + block + length);
    if (body.length < length) throw invalid(`an entry of ${length} bytes goes beyond the end`, at);
    at += block + Math.ceil(length / block) * block;
    const type = String.fromCharCode(head[156] || 0x30);
    if (type === "x") longName = paxPath(body, at) ?? longName;
    else if (type === "L") longName = cString(body);
    else {
      if (type === "0" || type === "7") yield { path: longName ?? nameOf(head), bytes: body };
      longName = undefined;
    }
  }
  throw invalid("the archive has no end", at);
}

function nameOf(head: Uint8Array): string {
  const name = cString(head.subarray(0, 100));
  // Only ustar has a prefix there; GNU keeps times in the same place.
  const isUstar = text.decode(head.subarray(257, 263)) === "ustar\0";
  const prefix = isUstar ? cString(head.subarray(345, 500)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function header(name: string | Uint8Array, length: number, type: "0" | "x", time: Date): Buffer {
  const head = Buffer.alloc(block);
  head.set(typeof name === "string" ? Buffer.from(name) : name, 0);
  head.write("0000755\0", 100);
  head.write("0000000\0", 108);
  head.write("0000000\0", 116);
  head.write(`${length.toString(8).padStart(11, "0")}\0`, 124);
  head.write(
    `${Math.floor(time.getTime() / 1000)
      .toString(8)
      .padStart(11, "0")}\0`,
    136,
  );
  head.write("        ", 148);
  head.write(type, 156);
  head.write("ustar\x0000", 257);
  head.write(`${sum(head).toString(8).padStart(6, "0")}\0 `, 148);
  return head;
}

/** `<length> path=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): Uint8Array {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes;
  while (bytes + String(length).length !== length) length = bytes + String(length).length;
  return Buffer.from(`${length}${rest}`);
}

function paxPath(body: Uint8Array, at: number): string | undefined {
  let path: string | undefined;
  for (let from = 0; from < body.length; ) {
    const space = body.indexOf(0x20, from);
    const length = space < 0 ? 0 : Number(text.decode(body.subarray(from, space)));
    if (!Number.isSafeInteger(length) || length <= space - from || from + length > body.length)
      throw invalid("a pax record has no right length", at);
    const record = text.decode(body.subarray(space + 1, from + length - 1));
    if (record.startsWith("path=")) path = record.slice("path=".length);
    from += length;
  }
  return path;
}

function checkSum(head: Uint8Array, at: number): void {
  const blank = Uint8Array.from(head);
  blank.fill(0x20, 148, 156);
  if (sum(blank) !== octal(head.subarray(148, 156), at))
    throw invalid("a header's sum is wrong", at);
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0);

function octal(field: Uint8Array, at: number): number {
  const digits = text.decode(field).replace(/[\0 ]+/g, "");
  if (!/^[0-7]+$/.test(digits)) throw invalid("a number is not octal", at);
  return Number.parseInt(digits, 8);
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return text.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function padded(bytes: Uint8Array): Uint8Array {
  const rest = bytes.length % block;
  return rest === 0 ? bytes : Buffer.concat([bytes, new Uint8Array(block - rest)]);
}

function invalid(reason: string, offset: number): FormatError {
  return new FormatError("DM_TAR_INVALID", `not a tar archive: ${reason}`, { offset });
}
