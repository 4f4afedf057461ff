/**
 * Tar archives of small files: what a backup's items are kept in. Written as Go's archive/tar does: POSIX ustar, a long name split at
 * a slash, and a pax record where that does not do; read from whatever Go writes (ustar, pax, GNU long names). File by file, so that
 * no archive need be in memory whole.
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

/** Two empty blocks end an archive. */
export const tarEnd: Uint8Array = new Uint8Array(2 * block);
/** No honest file is larger: etcd takes objects of 1.5 MiB. */
const maxFileBytes = 64 << 20;

/** The archive: files with mode 0755 and the given time, in the given order. */
export function encodeTar(files: Iterable<TarFile>, modifiedAt: Date): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const file of files) parts.push(...tarParts(file, modifiedAt));
  return Buffer.concat([...parts, tarEnd]);
}

/** One file of an archive. */
export function tarParts({ bytes, path }: TarFile, modifiedAt: Date): Uint8Array[] {
  const split = splitPath(path);
  if (split) return [header(split, bytes.length, "0", modifiedAt), padded(bytes)];
  const record = paxRecord("path", path);
  const slash = path.lastIndexOf("/");
  const paxName = { name: `${path.slice(0, slash)}/PaxHeaders.0${path.slice(slash)}`, prefix: "" };
  return [
    header(paxName, record.length, "x", new Date(0)),
    padded(record),
    header({ name: path, prefix: "" }, bytes.length, "0", modifiedAt),
    padded(bytes),
  ];
}

/** As ustar holds it, in up to 100 and 155 bytes; undefined when it cannot. */
function splitPath(path: string): { name: string; prefix: string } | undefined {
  if (/[^ -~]/.test(path)) return undefined;
  if (path.length <= 100) return { name: path, prefix: "" };
  const at = path.lastIndexOf("/", Math.min(155, path.length - 2));
  const name = path.slice(at + 1);
  return at <= 0 || name.length > 100 ? undefined : { name, prefix: path.slice(0, at) };
}

/**
 * The regular files. Directories, links and whatever else there may be are passed over.
 * @throws {FormatError} `DM_TAR_INVALID`
 */
export function* decodeTar(archive: Uint8Array): Generator<TarFile> {
  const reader = tarReader();
  yield* reader.push(archive);
  reader.end();
}

/** As {@link decodeTar}, of an archive that comes in pieces. */
export async function* decodeTarStream(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<TarFile> {
  const reader = tarReader();
  for await (const piece of pieces) yield* reader.push(piece);
  reader.end();
}

interface TarReader {
  push(piece: Uint8Array): Generator<TarFile>;
  /** @throws {FormatError} when more was to come */
  end(): void;
}

function tarReader(): TarReader {
  let pieces: Uint8Array[] = [];
  let piecesBytes = 0;
  // A large file is put together once, and not anew with each of its pieces.
  let neededBytes = block;
  let offset = 0;
  let longName: string | undefined;
  let isOver = false;
  return {
    *push(piece) {
      if (isOver) return;
      pieces.push(piece);
      piecesBytes += piece.length;
      if (piecesBytes < neededBytes) return;
      const rest = pieces.length === 1 ? piece : Buffer.concat(pieces);
      let at = 0;
      neededBytes = block;
      while (!isOver && at + block <= rest.length) {
        const head = rest.subarray(at, at + block);
        if (head.every((byte) => byte === 0)) {
          isOver = true;
          break;
        }
        checkSum(head, offset + at);
        const length = octal(head.subarray(124, 136), offset + at);
        if (length > maxFileBytes) throw invalid(`a file of ${length} bytes`, offset + at);
        const end = at + block + Math.ceil(length / block) * block;
        if (end > rest.length) {
          neededBytes = end - at;
          break;
        }
        const body = rest.subarray(at + block, at + block + length);
        const type = String.fromCharCode(head[156] || 0x30);
        if (type === "x") longName = paxPath(body, offset + at) ?? longName;
        else if (type === "L") longName = cString(body);
        else {
          if (type === "0" || type === "7") yield { path: longName ?? nameOf(head), bytes: body };
          longName = undefined;
        }
        at = end;
      }
      offset += at;
      pieces = isOver ? [] : [rest.subarray(at)];
      piecesBytes = isOver ? 0 : rest.length - at;
    },
    end() {
      if (!isOver) throw invalid("the archive has no end", offset);
    },
  };
}

function nameOf(head: Uint8Array): string {
  const name = cString(head.subarray(0, 100));
  // Only ustar has a prefix there; GNU keeps times in the same place.
  const isUstar = text.decode(head.subarray(257, 263)) === "ustar\0";
  const prefix = isUstar ? cString(head.subarray(345, 500)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function header(
  { name, prefix }: { readonly name: string; readonly prefix: string },
  length: number,
  type: "0" | "x",
  time: Date,
): Buffer {
  const head = Buffer.alloc(block);
  const octalText = (value: number, digits: number): string =>
    `${value.toString(8).padStart(digits, "0")}\0`;
  // Go takes non-ASCII out of what only old readers look at.
  head.set(Buffer.from(name.replace(/[^ -~]/g, "")).subarray(0, 100), 0);
  head.write(octalText(type === "x" ? 0 : 0o755, 7), 100);
  head.write(octalText(0, 7), 108);
  head.write(octalText(0, 7), 116);
  head.write(octalText(length, 11), 124);
  head.write(octalText(Math.floor(time.getTime() / 1000), 11), 136);
  head.write("        ", 148);
  head.write(type, 156);
  head.write("ustar\x0000", 257);
  head.write(octalText(0, 7), 329);
  head.write(octalText(0, 7), 337);
  head.write(prefix, 345);
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
