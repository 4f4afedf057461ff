/**
 * The files of a volume that the kubelet fills itself. They change as a whole name at a time: a reader sees the old or the new
 * text, never half of one.
 * Proof: test/kubelet/volumes.test.ts.
 * @module
 */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

/** Makes `directory` hold exactly these files. Names may have folders in them. Writes only what differs. */
export async function writePayload(
  directory: string,
  files: ReadonlyMap<string, string | Uint8Array>,
  mode: number | ReadonlyMap<string, number>,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [name, content] of files) {
    const path = join(directory, name);
    if (relative(directory, path).startsWith("..")) continue;
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const old = await readFile(path).catch(() => undefined);
    if (old !== undefined && Buffer.compare(old, bytes) === 0) continue;
    await mkdir(dirname(path), { recursive: true });
    const fileMode = typeof mode === "number" ? mode : (mode.get(name) ?? 0o644);
    const temporary = `${path}.writing`;
    await writeFile(temporary, bytes, { mode: fileMode });
    await chmod(temporary, fileMode);
    await rename(temporary, path);
  }
  const there = await readdir(directory, { recursive: true, withFileTypes: true });
  for (const entry of there) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (!files.has(relative(directory, path))) await rm(path);
  }
}
