/**
 * Image files of volumes: sparse, and copied with their holes, sharing blocks where the file system can.
 * Proof: test/csi/volume-content.test.ts.
 * @module
 */
import { constants, copyFile, open, truncate } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";

export function imageOf(folder: string): string {
  return join(folder, "image");
}

export async function createImage(folder: string, sizeBytes: number): Promise<void> {
  const file = await open(imageOf(folder), "wx", 0o600);
  try {
    await file.truncate(sizeBytes);
  } finally {
    await file.close();
  }
}

export async function copyImage(from: string, to: string): Promise<void> {
  if (process.platform === "linux")
    await command("cp", "--reflink=auto", "--sparse=always", imageOf(from), imageOf(to));
  else await copyFile(imageOf(from), imageOf(to), constants.COPYFILE_FICLONE);
}

export async function growImage(folder: string, sizeBytes: number): Promise<void> {
  await truncate(imageOf(folder), sizeBytes);
}
