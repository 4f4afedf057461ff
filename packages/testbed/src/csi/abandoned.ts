/**
 * Loop devices and mounts of drivers in temporary folders whose process was killed: nobody opens those folders again, so whoever
 * opens a driver next takes away what they hold. Each folder names its process; those of living ones are left alone.
 * Proof: test/csi/csi-driver.root.test.ts.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loopDevicesUnder, mountsUnder } from "./loop-device.ts";

const note = "owner.json";

/** Says in a driver's folder which process has it. */
export async function noteOwner(root: string): Promise<void> {
  const { pid } = process;
  await writeFile(join(root, note), JSON.stringify({ pid, startedAt: await startOf(pid) }));
}

/** Driver folders below temporary ones (`dm-cluster-…`, `dm-csi-…`) with mounts or loop devices and a dead process. */
export async function abandonedRoots(): Promise<string[]> {
  const temporary = tmpdir();
  const devices = await loopDevicesUnder(temporary);
  const places = [...devices.map(({ image }) => image), ...(await mountsUnder(temporary))];
  const roots = new Set<string>();
  for (const place of places) {
    const root = rootOf(place, temporary);
    if (root !== undefined && (await isAbandoned(root))) roots.add(root);
  }
  return [...roots];
}

/** A cluster's folder has the driver's in it. Any other path is not ours to judge. */
function rootOf(place: string, temporary: string): string | undefined {
  const [folder = ""] = place.slice(temporary.length + 1).split("/");
  if (folder.startsWith("dm-cluster-")) return join(temporary, folder, "volumes");
  return folder.startsWith("dm-csi-") ? join(temporary, folder) : undefined;
}

async function isAbandoned(root: string): Promise<boolean> {
  try {
    const owner = JSON.parse(await readFile(join(root, note), "utf8"));
    return (await startOf(owner.pid)) !== owner.startedAt;
  } catch {
    // Without a note nobody knows whose it is.
    return false;
  }
}

/** When a process began, in ticks since the machine did; a number that is used again has another. Null: there is none. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  // The name of the program may hold spaces and parentheses.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}
