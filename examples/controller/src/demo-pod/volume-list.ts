/**
 * The independent witness: a plain walk over a volume with SHA-256 of every byte, which shares no code with the data mover. One
 * line of JSON for every entry, in the order of their paths.
 * Proof: test/proof.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { type BigIntStats, constants } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";

/** An entry of a volume. Times of directories are left out: whoever restores a file changes them. */
export interface ListedEntry {
  /** Bytes that are no UTF-8, and backslashes, stand as `\xNN`. The volume itself is "". */
  readonly path: string;
  readonly type: "file" | "directory" | "link" | "device" | "other";
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly mtimeNs?: string;
  readonly sha256?: string;
  readonly target?: string;
}

/** All entries of the directory, file or block device at `path`. */
export async function* listVolume(path: string): AsyncGenerator<ListedEntry> {
  const status = await lstat(path, { bigint: true });
  if (status.isDirectory()) yield* listDirectory(Buffer.from(path), Buffer.alloc(0), status);
  else yield { path: "", type: "device", ...(await digestOf(path)) };
}

async function* listDirectory(
  root: Buffer,
  path: Buffer,
  status: BigIntStats,
): AsyncGenerator<ListedEntry> {
  yield { path: textOf(path), type: "directory", ...ownership(status) };
  const names = await readdir(join(root, path), { encoding: "buffer" });
  for (const name of names.sort(Buffer.compare)) {
    const child = path.length === 0 ? name : join(path, name);
    yield* listEntry(root, child);
  }
}

async function* listEntry(root: Buffer, path: Buffer): AsyncGenerator<ListedEntry> {
  const full = join(root, path);
  const status = await lstat(full, { bigint: true });
  if (status.isDirectory()) {
    yield* listDirectory(root, path, status);
    return;
  }
  const about = { path: textOf(path), ...ownership(status), mtimeNs: String(status.mtimeNs) };
  if (status.isFile()) yield { ...about, type: "file", ...(await digestOf(full)) };
  else if (status.isSymbolicLink())
    yield { ...about, type: "link", target: textOf(await readlink(full, { encoding: "buffer" })) };
  else yield { ...about, type: "other" };
}

const join = (folder: Buffer, name: Buffer): Buffer =>
  Buffer.concat([folder, Buffer.from("/"), name]);

function ownership({ mode, uid, gid }: BigIntStats): Pick<ListedEntry, "mode" | "uid" | "gid"> {
  return { mode: Number(mode & 0o7777n), uid: Number(uid), gid: Number(gid) };
}

function textOf(bytes: Buffer): string {
  const text = bytes.toString();
  const escaped = Buffer.from(text).equals(bytes)
    ? text.replaceAll("\\", "\\x5c")
    : [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  return escaped;
}

async function digestOf(path: string | Buffer): Promise<{ size: number; sha256: string }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.alloc(1 << 20);
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, size);
      if (bytesRead === 0) return { size, sha256: hash.digest("hex") };
      hash.update(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
  } finally {
    await file.close();
  }
}
