/**
 * The file that tells a pod's init container that the files of a volume are all there: `.velero/<uid of the Restore>`, empty, in
 * the volume's root. Names and modes are Velero's.
 * Proof: test/mover/done-file.test.ts.
 * @module
 */
import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { doneDirectory } from "../pod-volume/restore-wait.ts";

/**
 * Whether an earlier attempt has said so: then the pod may run by now, and its files are its own. A link that the snapshot has in
 * the place of the directory is not followed.
 */
export async function isMarkedDone(volumePath: string, restoreUid: string): Promise<boolean> {
  const directory = join(volumePath, doneDirectory);
  try {
    if (!(await lstat(directory)).isDirectory()) return false;
    return (await lstat(join(directory, restoreUid))).isFile();
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return false;
    throw error;
  }
}

/**
 * Whatever is in the place of the directory goes first: files of earlier restores that the snapshot has brought along, or a link to
 * somewhere else.
 */
export async function markDone(volumePath: string, restoreUid: string): Promise<void> {
  const directory = join(volumePath, doneDirectory);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o755 });
  await writeFile(join(directory, restoreUid), "", { flag: "wx", mode: 0o644 });
}
