/**
 * The seam over the C library of Linux, and for times and sizes that of macOS. One instance belongs to one thread: its
 * buffers are used again by every call.
 * Why so: docs/decisions/0008. Proof: test/posix.test.ts, test/posix.root.test.ts.
 * @module
 */
import { fstatSync, fsyncSync } from "node:fs";
import type { ExtendedAttribute } from "../../extended-metadata.ts";
import type { LocalPath } from "../../source/source-entry.ts";
import type { LibC } from "./libc.ts";
import type { ByteRange, Posix } from "./posix.ts";
import { systemError } from "./system-error.ts";

const isDarwin = process.platform === "darwin";
const atFdCwd = isDarwin ? -2 : -100;
const atSymlinkNoFollow = isDarwin ? 0x20 : 0x100;
const [seekSet, seekCurrent, seekEnd, seekData, seekHole] = [0, 1, 2, 3, 4];
const [fallocateKeepSize, fallocatePunchHole] = [1, 2];
const [enoent, enxio, e2big, enodev, einval, espipe, erange, enametoolong, enosys] = [
  2, 6, 7, 19, 22, 29, 34, 36, 38,
];
const [enodata, enotsup] = [61, 95];

/** The kernel's own limits: of a path, and of a list of attribute names as of one value. */
const maxPathBytes = 4096;
const maxAttributeBytes = 65_536;

/** What a call answers where the file system or the device lacks the operation. */
const missing: ReadonlySet<number> = new Set([enodev, einval, espipe, enosys, enotsup]);

const lossesOnDarwin = [
  "Extended attributes and ACLs are neither kept nor restored on this platform.",
  "Holes of files are read as zeros, and space is not reserved before it is written, on this platform.",
];

export function createSystemPosix(libc: LibC): Posix {
  return new SystemPosix(libc);
}

class SystemPosix implements Posix {
  readonly backend: "node:ffi" | "koffi";
  readonly losses: readonly string[] = isDarwin ? lossesOnDarwin : [];
  readonly #libc: LibC;
  readonly #path: Uint8Array = new Uint8Array(maxPathBytes);
  readonly #name: Uint8Array = new Uint8Array(1024);
  /** Two of seconds and nanoseconds. */
  readonly #times: BigInt64Array = new BigInt64Array(4);
  readonly #timeBytes: Uint8Array = new Uint8Array(this.#times.buffer);
  #list: Uint8Array | undefined;
  #value: Uint8Array | undefined;

  constructor(libc: LibC) {
    this.#libc = libc;
    this.backend = libc.backend;
  }

  setTimes(path: LocalPath, accessedAtNs: bigint, modifiedAtNs: bigint): void {
    const times = this.#times;
    setTime(times, 0, accessedAtNs);
    setTime(times, 2, modifiedAtNs);
    this.#putPath(path, "utimensat");
    if (this.#libc.utimensat(atFdCwd, this.#path, this.#timeBytes, atSymlinkNoFollow) !== 0)
      throw systemError(this.#libc.errno(), "utimensat", path);
  }

  readAttributes(path: LocalPath): readonly ExtendedAttribute[] {
    if (isDarwin) return [];
    const libc = this.#libc;
    this.#list ??= new Uint8Array(maxAttributeBytes);
    this.#value ??= new Uint8Array(maxAttributeBytes);
    this.#putPath(path, "llistxattr");
    const size = BigInt(maxAttributeBytes);
    const listLength = Number(libc.llistxattr(this.#path, this.#list, size));
    if (listLength === 0) return [];
    if (listLength < 0) {
      const errno = libc.errno();
      if (errno === enotsup || errno === enosys) return [];
      throw systemError(errno, "llistxattr", path);
    }
    const attributes: ExtendedAttribute[] = [];
    // Copied, as another call of this loop's caller could come between; names are few and short.
    const list = this.#list.slice(0, listLength);
    for (let start = 0; start < listLength; ) {
      const end = list.indexOf(0, start);
      const nameBytes = list.subarray(start, end + 1);
      const length = Number(libc.lgetxattr(this.#path, nameBytes, this.#value, size));
      if (length >= 0) {
        const name = attributeName.decode(list.subarray(start, end));
        attributes.push({ name, value: this.#value.slice(0, length) });
      } else {
        const errno = libc.errno();
        // Gone since the names were listed; or listed, as on some network file systems, without being readable.
        if (errno !== enodata && errno !== enotsup) throw systemError(errno, "lgetxattr", path);
      }
      start = end + 1;
    }
    return attributes;
  }

  writeAttribute(path: LocalPath, { name, value }: ExtendedAttribute): void {
    if (isDarwin) throw systemError(enotsup, "lsetxattr", path);
    this.#putPath(path, "lsetxattr");
    this.#putName(name, "lsetxattr", path);
    if (value.length > maxAttributeBytes) throw systemError(e2big, "lsetxattr", path);
    // An empty array may have no address.
    const bytes = value.length > 0 ? value : oneByte;
    const size = BigInt(value.length);
    if (this.#libc.lsetxattr(this.#path, this.#name, bytes, size, 0) !== 0)
      throw systemError(this.#libc.errno(), "lsetxattr", path);
  }

  removeAttribute(path: LocalPath, name: string): void {
    if (isDarwin) throw systemError(enotsup, "lremovexattr", path);
    this.#putPath(path, "lremovexattr");
    this.#putName(name, "lremovexattr", path);
    if (this.#libc.lremovexattr(this.#path, this.#name) !== 0)
      throw systemError(this.#libc.errno(), "lremovexattr", path);
  }

  dataRanges(fd: number, sizeBytes: number): ByteRange[] {
    if (sizeBytes <= 0) return [];
    const whole = [{ start: 0, length: sizeBytes }];
    if (isDarwin) return whole;
    const position = this.#seek(fd, 0, seekCurrent);
    if (position < 0) return whole;
    try {
      const ranges: ByteRange[] = [];
      for (let from = 0; from < sizeBytes; ) {
        const start = this.#seek(fd, from, seekData);
        if (start < 0) {
          if (this.#libc.errno() === enxio) break;
          return whole;
        }
        if (start >= sizeBytes) break;
        const end = this.#seek(fd, start, seekHole);
        // A file that shrinks meanwhile answers with nonsense; reading it will show.
        if (end <= start) return whole;
        ranges.push({ start, length: Math.min(end, sizeBytes) - start });
        from = end;
      }
      return ranges;
    } finally {
      this.#seek(fd, position, seekSet);
    }
  }

  preallocate(fd: number, sizeBytes: number): void {
    if (isDarwin || sizeBytes <= 0) return;
    if (this.#libc.fallocate(fd, fallocateKeepSize, 0n, BigInt(sizeBytes)) === 0) return;
    const errno = this.#libc.errno();
    if (!missing.has(errno)) throw systemError(errno, "fallocate");
  }

  punchHole(fd: number, { start, length }: ByteRange): boolean {
    if (isDarwin) return false;
    const mode = fallocatePunchHole | fallocateKeepSize;
    // On a device the kernel promises that this reads as zeros, or refuses.
    if (this.#libc.fallocate(fd, mode, BigInt(start), BigInt(length)) === 0) return true;
    const errno = this.#libc.errno();
    if (missing.has(errno)) return false;
    throw systemError(errno, "fallocate");
  }

  sizeOf(fd: number): number {
    const status = fstatSync(fd);
    if (!status.isBlockDevice()) return status.size;
    const position = this.#seek(fd, 0, seekCurrent);
    const end = this.#seek(fd, 0, seekEnd);
    if (end < 0) throw systemError(this.#libc.errno(), "lseek");
    this.#seek(fd, position, seekSet);
    return end;
  }

  syncFileSystem(fd: number): void {
    if (isDarwin) fsyncSync(fd);
    else if (this.#libc.syncfs(fd) !== 0) throw systemError(this.#libc.errno(), "syncfs");
  }

  #seek(fd: number, offset: number, whence: number): number {
    return Number(this.#libc.lseek(fd, BigInt(offset), whence));
  }

  #putName(name: string, syscall: string, path: LocalPath): void {
    const { read, written } = encoder.encodeInto(name, this.#name.subarray(0, -1));
    // The kernel takes 255 bytes; and a name cut at a NUL would be another one.
    if (read < name.length || name.includes("\0")) throw systemError(erange, syscall, path);
    this.#name[written] = 0;
  }

  #putPath(path: LocalPath, syscall: string): void {
    const target = this.#path;
    let length: number;
    if (typeof path === "string") {
      const { read, written } = encoder.encodeInto(path, target);
      length = read < path.length ? maxPathBytes : written;
    } else {
      length = path.length;
      if (length < maxPathBytes) target.set(path);
    }
    if (length >= maxPathBytes) throw systemError(enametoolong, syscall, path);
    // A name cut at a NUL would be another file.
    if (length === 0 || target.subarray(0, length).includes(0))
      throw systemError(length === 0 ? enoent : einval, syscall, path);
    target[length] = 0;
  }
}

const encoder: TextEncoder = new TextEncoder();
/** Fatal: an attribute whose name cannot be kept must not be lost in silence. */
const attributeName: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const oneByte: Uint8Array = new Uint8Array(1);
const nsPerSecond = 1_000_000_000n;

function setTime(times: BigInt64Array, index: number, ns: bigint): void {
  let seconds = ns / nsPerSecond;
  let rest = ns % nsPerSecond;
  if (rest < 0n) {
    seconds--;
    rest += nsPerSecond;
  }
  times[index] = seconds;
  times[index + 1] = rest;
}
