/** A local tree as a source, in the most obvious way: what the real one must agree with, and enough to compare with kopia. */
import { createReadStream, type PathLike } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import type { SourceEntry, SourceMetadata } from "../src/index.ts";

const text = (bytes: Buffer): string => new TextDecoder().decode(bytes);

/** @param path as bytes, for names that are not UTF-8 */
export async function plainSource(path: Buffer): Promise<SourceEntry> {
  const stat = await lstat(path, { bigint: true });
  const metadata: SourceMetadata = {
    name: text(path.subarray(path.lastIndexOf("/") + 1)),
    mode: Number(stat.mode) & 0o7777,
    sizeBytes: Number(stat.size),
    modifiedAtNs: stat.mtimeNs,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    deviceId: stat.dev,
    localPath: path,
  };
  if (stat.isSymbolicLink())
    return { ...metadata, type: "s", readTarget: () => readlink(path, { encoding: "buffer" }) };
  if (stat.isDirectory()) return { ...metadata, type: "d", list: () => listOf(path) };
  if (!stat.isFile()) return { ...metadata, type: "special" };
  return {
    ...metadata,
    type: "f",
    read: ({ from = 0, signal } = {}) =>
      createReadStream(path as PathLike, { start: from, signal, highWaterMark: 1 << 20 }),
  };
}

async function listOf(path: Buffer): Promise<SourceEntry[]> {
  const names = await readdir(path, { encoding: "buffer" });
  const join = (name: Buffer): Buffer => Buffer.concat([path, Buffer.from("/"), name]);
  return Promise.all(names.map((name) => plainSource(join(name))));
}
