/**
 * Loop devices and mounts of drivers in temporary folders whose process was killed: nobody opens those folders again, so whoever
 * opens a driver next takes away what they hold. Each folder names its process; those of living ones are left alone.
 * Proof: test/csi/csi-driver.root.test.ts.
 * @module
 */
import { access, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loopDevicesUnder, mountsUnder } from "./loop-device.ts";

const note = "owner.json";

/** Says in a driver's folder which process has it. */
export async function noteOwner(root: string): Promise<void> {
  const { pid } = process;
  await writeFile(join(root, note), JSON.stringify({ pid, startedAt: await startOf(pid) }));
}

/** Drivers' folders somewhere in the machine's temporary one, with mounts or loop devices and a dead process. */
export async function abandonedRoots(): Promise<string[]> {
  const temporary = tmpdir();
  const devices = await loopDevicesUnder(temporary);
  const places = [...devices.map(({ image }) => image), ...(await mountsUnder(temporary))];
  const roots = new Set<string>();
  for (const place of places) {
    const root = await rootOf(place, temporary);
    if (root !== undefined && (await isAbandoned(root))) roots.add(root);
  }
  return [...roots];
}

/** The driver's folder above a mount or image, by its note. Folders with other names than this project's are not looked into. */
async function rootOf(place: string, temporary: string): Promise<string | undefined> {
  if (!place.slice(temporary.length + 1).startsWith("dm-")) return undefined;
  for (let folder = dirname(place); folder !== temporary; folder = dirname(folder)) {
    // A pod's directory is beside the driver's, which `startCluster` calls `volumes`.
    for (const root of [folder, join(folder, "volumes")]) if (await hasNote(root)) return root;
  }
  return undefined;
}

function hasNote(root: string): Promise<boolean> {
  return access(join(root, note)).then(
    () => true,
    () => false,
  );
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
