/**
 * The functions of the C library that the seam calls, as a back-end binds them. Texts and structures are bytes, offsets and
 * sizes are bigints, because the two back-ends agree on these alone; −1 means that `errno` says why.
 * Why so: docs/decisions/0008. Proof: test/posix.test.ts.
 * @module
 */

export interface LibC {
  readonly backend: "node:ffi" | "koffi";
  utimensat(directoryFd: number, path: Uint8Array, times: Uint8Array, flags: number): number;
  llistxattr(path: Uint8Array, list: Uint8Array, size: bigint): number | bigint;
  lgetxattr(path: Uint8Array, name: Uint8Array, value: Uint8Array, size: bigint): number | bigint;
  lsetxattr(
    path: Uint8Array,
    name: Uint8Array,
    value: Uint8Array,
    size: bigint,
    flags: number,
  ): number;
  lremovexattr(path: Uint8Array, name: Uint8Array): number;
  lseek(fd: number, offset: bigint, whence: number): number | bigint;
  fallocate(fd: number, mode: number, offset: bigint, length: bigint): number;
  syncfs(fd: number): number;
  /** Of the last call on this thread; to be read before anything else is called. */
  errno(): number;
}

/** `b` bytes, `i` 32 bits, `l` 64 bits; the first letter is the result's. One table for both back-ends. */
export const signatures = {
  utimensat: "iibbi",
  llistxattr: "lbbl",
  lgetxattr: "lbbbl",
  lsetxattr: "ibbbli",
  lremovexattr: "ibb",
  lseek: "lili",
  fallocate: "iiill",
  syncfs: "ii",
} as const satisfies Partial<Record<keyof LibC, string>>;

/** What macOS has of it under the same name and with the same arguments. */
export const darwinSignatures = {
  utimensat: "iibbi",
  lseek: "lili",
} as const satisfies Partial<Record<keyof LibC, string>>;
