/** A bucket of ours with the backups of the recorded one: the same objects, the same specs. */
import { realBackups } from "./real-bucket.ts";
import { backUpAgain, ourFile, ourFiles, sceneOf } from "./scene.ts";

/** Backups expire when the recorded ones do: those who keep them must not look at that. */
export async function ourBucket(): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for (const name of realBackups) {
    await using world = await sceneOf(name);
    await backUpAgain(world, name);
    for (const file of ourFiles(world, name))
      objects.set(`velero/backups/${name}/${file}`, ourFile(world, name, file));
  }
  return objects;
}
