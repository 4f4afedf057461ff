/**
 * Replaces small files so that a reader sees the old bytes or the new ones, also after a crash.
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a temporary file beside `path`, flushes it, renames it over `path` and flushes the directory. Directories that
 * are missing are made with mode 0700.
 */
export async function writeFileAtomically(
  path: string,
  data: Uint8Array | string,
  options: { readonly mode?: number | undefined } = {},
): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp.${randomBytes(8).toString("hex")}`;
  try {
    const file = await open(temporary, "wx", options.mode ?? 0o600);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

async function syncDirectory(directory: string): Promise<void> {
  // Windows can neither open nor flush a directory; a rename is durable there without.
  if (process.platform === "win32") return;
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
