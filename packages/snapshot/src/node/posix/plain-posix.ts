/**
 * The seam without a back-end: what Node itself can do, and the list of what it cannot.
 * Why so: docs/decisions/0008. Proof: test/posix.test.ts, test/posix.root.test.ts.
 * @module
 */
import { fstatSync, fsyncSync, lutimesSync, readFileSync } from "node:fs";
import type { ExtendedAttribute } from "../../extended-metadata.ts";
import type { LocalPath } from "../../source/source-entry.ts";
import type { ByteRange, Posix } from "./posix.ts";
import { systemError } from "./system-error.ts";

const losses = [
  "Restored times are exact to the microsecond only, so the next backup reads these files again.",
  "Extended attributes and ACLs are neither kept nor restored.",
  "Holes are read as zeros, and files are restored without any made by the file system.",
  "Space is not reserved before it is written: a full file system shows late.",
] as const;

const enotsup = 95;

export function createPlainPosix(): Posix {
  return {
    backend: "none",
    losses,
    setTimes(path: LocalPath, accessedAtNs: bigint, modifiedAtNs: bigint): void {
      lutimesSync(
        typeof path === "string" ? path : Buffer.from(path),
        seconds(accessedAtNs),
        seconds(modifiedAtNs),
      );
    },
    readAttributes: () => [],
    writeAttribute(path: LocalPath, _attribute: ExtendedAttribute): void {
      throw systemError(enotsup, "lsetxattr", path);
    },
    removeAttribute(path: LocalPath, _name: string): void {
      throw systemError(enotsup, "lremovexattr", path);
    },
    dataRanges: (_fd: number, sizeBytes: number): ByteRange[] =>
      sizeBytes > 0 ? [{ start: 0, length: sizeBytes }] : [],
    preallocate: () => {},
    punchHole: () => false,
    sizeOf(fd: number): number {
      const status = fstatSync(fd, { bigint: true });
      return status.isBlockDevice() ? deviceSize(status.rdev) : Number(status.size);
    },
    syncFileSystem: (fd: number) => fsyncSync(fd),
  };
}

/** Whole seconds stay exact; the rest is as near as a double and Node come. Text, since Node takes negative numbers for "now". */
function seconds(ns: bigint): string {
  return String(Number(ns / 1_000_000_000n) + Number(ns % 1_000_000_000n) / 1e9);
}

/** Sectors of 512 bytes, whatever the device's own size of a sector is. */
function deviceSize(device: bigint): number {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xff_fff00n);
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, "utf8")) * 512;
}
