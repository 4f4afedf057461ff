/**
 * Many volumes over four nodes at once, while writes conflict, calls fail, caches lag, agents restart and movers are killed, by a seed:
 * everything is Completed, no node runs more than it may, nothing is left behind, and requests stay in proportion.
 */
import { ConflictError, StorageError } from "@dm/core";
import { isFinalPhase } from "@dm/crds";
import { seededRandom } from "@dm/fixtures";
import { expect, it } from "vitest";
import { type TransferKind, transferKinds } from "../../src/node-agent/transfer.ts";
import { operator, resourceOf } from "./fake-cluster.ts";
import { Harness } from "./harness.ts";
import { minute } from "./objects.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const volumes = process.env["DM_FULL"] ? 200 : 16;
const nodes = ["a", "b", "c", "d"];
const concurrency = 3;

it(`${volumes} volumes over 4 nodes (seed ${seed})`, async () => {
  const random = seededRandom(seed);
  let calls = 0;
  const before = (what: string): void => {
    calls++;
    if (what.startsWith("replace data") && random.integer(100) < 20)
      throw new ConflictError("DM_KUBE_CONFLICT", "someone was faster");
    if (random.integer(100) < 2)
      throw new StorageError("DM_KUBE_UNAVAILABLE", "try later", {}, { retryable: true });
  };
  const isLate = (): boolean => random.integer(3) > 0;
  await using harness = await Harness.open(nodes, { before, isLate, settings: { concurrency } });
  const { cluster } = harness;
  cluster.mover.ticks = 4;
  let turn = 0;
  cluster.schedule = () => nodes[turn++ % nodes.length];
  const transfers: (readonly [TransferKind, string])[] = [];
  for (let index = 0; index < volumes; index++) {
    const name = `volume-${index}`;
    const kind = random.pick([...transferKinds, "DataUpload"] as const);
    transfers.push([kind, name]);
    cluster.make(kind, name);
  }
  let kills = 0;
  let restarts = 0;
  const killed = new Set<string>();
  const disturb = (): void => {
    if (random.integer(100) < 15) {
      restarts++;
      harness.startAgent(random.pick(nodes));
    }
    for (const pod of cluster.api.list("pods", operator)) {
      if (
        pod.status?.phase !== "Running" ||
        killed.has(pod.metadata.name) ||
        random.integer(100) >= 5
      )
        continue;
      // Once each: the limit is another test's.
      killed.add(pod.metadata.name);
      kills++;
      cluster.endMover(pod, 137, "", "OOMKilled");
    }
  };
  const runningOn = (node: string): number =>
    transferKinds
      .flatMap((kind) => cluster.api.list(resourceOf(kind), operator))
      .filter(({ spec, status }) => {
        const at = spec.node ?? status?.node;
        return status?.phase === "InProgress" && at === node;
      }).length;
  let most = 0;
  await harness.until(
    () => {
      disturb();
      most = Math.max(most, ...nodes.map(runningOn));
      return transfers.every(([kind, name]) => isFinalPhase(harness.phase(kind, name)));
    },
    12 * 60 * minute,
    10_000,
  );
  for (const [kind, name] of transfers)
    expect(harness.phase(kind, name), `${kind} ${name}: ${harness.message(kind, name)}`).toBe(
      "Completed",
    );
  await harness.advance(2 * minute, 30_000);
  expect(cluster.leftovers()).toEqual([]);
  // A mover that is made again does not wait for a place: its object runs already.
  expect(most).toBeLessThanOrEqual(concurrency + kills);
  const perVolume = Math.round(calls / volumes);
  console.log(
    `${volumes} volumes Completed (seed ${seed}): ${kills} movers killed, ${restarts} agents restarted, ${perVolume} requests a volume, at most ${most} at once on a node`,
  );
  expect(perVolume).toBeLessThan(400);
});
