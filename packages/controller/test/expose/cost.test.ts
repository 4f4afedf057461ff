// How many calls to the API one volume costs the exposers when nothing goes wrong. Each is a promise of the README.
import { expect, it } from "vitest";
import { csiSnapshotExposer } from "../../src/expose/csi-snapshot-exposer.ts";
import type { Exposer, Step } from "../../src/expose/exposer.ts";
import { genericRestoreExposer } from "../../src/expose/generic-restore-exposer.ts";
import { interruptedClient } from "./interrupted-client.ts";
import { createWorld, downloadOf, drive, uploadOf, type World } from "./world.ts";

/** Calls of every step until it is done, and how often the step was made. */
async function costs<T extends Exposer>(
  world: World,
  make: (context: World["context"]) => T,
  names: readonly (keyof T)[],
): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of names) {
    const { client, calls } = interruptedClient(world.client, undefined, () => world.csi.settle());
    const exposer = make({ ...world.context, client });
    await drive(world, () => (exposer[name] as unknown as () => Promise<Step>)());
    found[name as string] = calls();
  }
  return found;
}

it("costs a backup few calls", async () => {
  await using world = await createWorld();
  const upload = uploadOf(world);
  const made = (context: World["context"]) => csiSnapshotExposer(context, upload);
  expect(await costs(world, made, ["expose", "cleanUp"])).toEqual({ expose: 17, cleanUp: 15 });
});

it("costs a restore few calls", async () => {
  await using world = await createWorld();
  const download = downloadOf(world);
  const made = (context: World["context"]) => genericRestoreExposer(context, download);
  expect(await costs(world, made, ["expose", "rebind", "cleanUp"])).toEqual({
    expose: 6,
    rebind: 17,
    cleanUp: 5,
  });
});
