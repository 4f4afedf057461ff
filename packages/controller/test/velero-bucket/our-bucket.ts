/** A bucket of ours with the backups of the recorded one: the same objects, the same specs. */
import { realBackups } from "./real-bucket.ts";
import { backUpAgain, ourFile, ourFiles, sceneOf } from "./scene.ts";

/** Made as the recorded one was. */
export const restoreOfMoved = "moved-clean";

/** Backups expire when the recorded ones do: those who keep them must not look at that. */
export async function ourBucket(): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for (const name of realBackups) {
    await using world = await sceneOf(name);
    await backUpAgain(world, name);
    for (const file of ourFiles(world, name))
      objects.set(`velero/backups/${name}/${file}`, ourFile(world, name, file));
    if (name !== "moved") continue;
    world.restore(restoreOfMoved, {
      backupName: name,
      namespaceMapping: { "mysql-persistent": "mysql-clean" },
    });
    await world.untilEnd("restores", restoreOfMoved);
    for (const [key, bytes] of world.blobs)
      if (key.startsWith("default/restores/")) objects.set(key.replace("default", "velero"), bytes);
  }
  return objects;
}
