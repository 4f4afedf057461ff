/**
 * A volume that is a directory tree of the host.
 * Proof: test/csi/volume-content.test.ts, test/csi/directory-volume.root.test.ts.
 * @module
 */
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import type { VolumeContent } from "./volume-content.ts";

export function directoryContent(): VolumeContent {
  const rootOf = (folder: string): string => join(folder, "data");
  return {
    leastBytes: 0,
    description:
      "a directory tree: a snapshot is a copy (cp -a: owners, modes, times, links, extended attributes) made while the " +
      "processes of the pods that mount it are stopped; what others write during the copy may be in it in part. " +
      "Its size is not a limit",
    async create(folder) {
      await mkdir(rootOf(folder));
      // For pods of any user, whatever the umask.
      await chmod(rootOf(folder), 0o777);
    },
    async copy(from, to) {
      await mkdir(rootOf(to));
      // With the dot the directory itself gets its owner, mode and times, too.
      await command("cp", "-a", `${rootOf(from)}/.`, rootOf(to));
    },
    async expand() {
      return true;
    },
    async stage(folder) {
      return rootOf(folder);
    },
    async unstage() {
      return true;
    },
    async quiesce() {
      return async () => {};
    },
  };
}
