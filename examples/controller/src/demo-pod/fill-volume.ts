/**
 * Copies files into a volume; the source is only read.
 * Proof: test/demo-pod.test.ts.
 * @module
 */
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  symlink,
} from "node:fs/promises";
import { basename, join } from "node:path";

export interface Filled {
  readonly files: number;
  readonly bytes: number;
}

/** Copies each source into a folder of its name under `target`, until `limitBytes` are there; what is no file, directory or link is left out. */
export async function fillDirectory(
  sources: readonly string[],
  target: string,
  limitBytes: number,
): Promise<Filled> {
  const filled = { files: 0, bytes: 0 };
  const copy = async (from: string, to: string): Promise<void> => {
    const status = await lstat(from);
    if (status.isDirectory()) {
      await mkdir(to, { recursive: true });
      for (const name of (await readdir(from)).sort())
        if (filled.bytes < limitBytes) await copy(join(from, name), join(to, name));
      await chmod(to, status.mode & 0o7777);
    } else if (status.isSymbolicLink()) {
      await symlink(await readlink(from), to);
    } else if (status.isFile()) {
      if (filled.bytes + status.size > limitBytes) return;
      await copyFile(from, to);
      await chmod(to, status.mode & 0o7777);
      filled.files += 1;
      filled.bytes += status.size;
    } else return;
    await lutimes(to, status.atime, status.mtime);
    if (process.getuid?.() === 0) await lchown(to, status.uid, status.gid);
  };
  for (const source of sources) await copy(source, join(target, basename(source)));
  return filled;
}

/** Copies a file to the beginning of a device. */
export async function fillDevice(source: string, device: string): Promise<Filled> {
  const from = await open(source, "r");
  const to = await open(device, "r+");
  try {
    const buffer = Buffer.alloc(1 << 20);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await from.read(buffer, 0, buffer.length, bytes);
      if (bytesRead === 0) break;
      await to.write(buffer, 0, bytesRead, bytes);
      bytes += bytesRead;
    }
    await to.sync();
    return { files: 1, bytes };
  } finally {
    await from.close();
    await to.close();
  }
}
