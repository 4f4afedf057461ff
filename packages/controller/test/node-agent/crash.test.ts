/**
 * Row 46 and beyond: an agent is killed at every call that it makes to the API server, just before or just after it took effect.
 * Either it is restarted, or it and its node stay away and another agent takes over. Every object reaches a final phase in bounded
 * time, what is Completed has its data, and nothing is left behind. A sample by seed; every call with DM_FULL=1.
 */
import { isFinalPhase } from "@dm/crds";
import { type SeededRandom, seededRandom } from "@dm/fixtures";
import { afterAll, describe, expect, it } from "vitest";
import { isPodVolume } from "../../src/mover/index.ts";
import { type TransferKind, transferKinds } from "../../src/node-agent/transfer.ts";
import { app, operator } from "./fake-cluster.ts";
import { type AgentOptions, Crash, Harness } from "./harness.ts";
import { minute, snapshotID } from "./objects.ts";

type Story = "success" | "cancel" | "failure" | "killed mover" | "deletion" | "unready";
type Ending = "restart" | "lost";

interface CrashAt {
  readonly call: number;
  readonly when: "before" | "after";
}

const stories: Story[] = ["success", "cancel", "failure", "killed mover", "deletion", "unready"];
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const isFull = Boolean(process.env["DM_FULL"]);
const counts = new Map<string, number>();

/** Runs a story, with a crash at one call of either agent. Returns how many calls there were. */
async function run(kind: TransferKind, story: Story, ending: Ending, at?: CrashAt) {
  let calls = 0;
  let dead: string | undefined;
  const options = (node: string): AgentOptions => {
    const check = (when: CrashAt["when"]): void => {
      if (dead === node) throw new Crash();
      if (when === "before") calls++;
      if (at === undefined || calls !== at.call || when !== at.when || dead !== undefined) return;
      dead = node;
      throw new Crash();
    };
    const random = seededRandom(seed + (at?.call ?? 0));
    const isLate = (): boolean => random.integer(3) === 0;
    return { before: () => check("before"), after: () => check("after"), isLate };
  };
  await using harness = await Harness.open(["a", "b"], { agents: [] });
  const { cluster } = harness;
  for (const node of ["a", "b"]) harness.startAgent(node, options(node));
  cluster.schedule = () => (cluster.nodes.has("b") ? "b" : "a");
  cluster.mover.ticks = story === "success" || story === "failure" ? 3 : 12;
  if (story === "failure") cluster.mover.failure = "cannot read /x";
  if (story === "unready") cluster.provisions = false;
  if (story === "unready" && isPodVolume(kind))
    cluster.podStatus = ({ metadata }) =>
      metadata.namespace === operator ? { phase: "Pending" } : undefined;
  cluster.make(kind, "data");

  let hasActed = false;
  const act = (): void => {
    if (hasActed || harness.phase(kind, "data") !== "InProgress") return;
    const pod = cluster.pod("data");
    if (pod?.status?.phase !== "Running") return;
    hasActed = true;
    if (story === "cancel") harness.cancel(kind, "data");
    if (story === "killed mover") cluster.endMover(pod, 137);
    if (story === "deletion")
      cluster.api.delete(`${kind.toLowerCase()}s.velero.io`, operator, "data");
  };
  const isOver = () => {
    const object = harness.get(kind, "data");
    return object === undefined || isFinalPhase(object.status?.phase);
  };
  const replaced = new Set<string>();
  await harness.until(
    () => {
      act();
      if (dead !== undefined && !replaced.has(dead)) {
        replaced.add(dead);
        if (ending === "restart") harness.startAgent(dead, {});
        else {
          harness.stopAgent(dead);
          cluster.loseNode(dead);
        }
      }
      return isOver();
    },
    90 * minute,
    story === "unready" || ending === "lost" ? 30_000 : 5_000,
  );
  const status = harness.get(kind, "data")?.status;
  await harness.advance(2 * minute, 30_000);
  expect(harness.get(kind, "data")?.status).toEqual(status);
  expect(cluster.leftovers()).toEqual([]);
  const phase: string = status?.phase ?? "deleted";
  if (phase === "Completed") expectData(harness, kind);
  // No other node has a pod's volume; what was told before the node was lost still counts.
  const isLost = ending === "lost" && at !== undefined && isPodVolume(kind);
  const wanted: Record<Story, readonly string[]> = {
    success: isLost ? ["Completed", "Failed"] : ["Completed"],
    failure: ["Failed"],
    "killed mover": isLost ? ["Completed", "Failed"] : ["Completed"],
    cancel: ["Canceled", "Completed", ...(isLost ? ["Failed"] : [])],
    deletion: ["deleted", ...(isLost ? ["Failed"] : [])],
    unready: ["Failed"],
  };
  expect(wanted[story], `${phase}: ${status?.message}`).toContain(phase);
  return calls;
}

function expectData(harness: Harness, kind: TransferKind): void {
  if (kind === "PodVolumeRestore") {
    expect(harness.cluster.filled).toContain("data");
    return;
  }
  if (kind !== "DataDownload") {
    expect(harness.get(kind, "data")?.status?.snapshotID).toBe(snapshotID);
    return;
  }
  const target = harness.cluster.api.get("persistentvolumeclaims", app, "data");
  expect(target?.status?.phase).toBe("Bound");
  expect(harness.cluster.storage).toContain(target?.spec.volumeName);
}

/** All, or as many as wanted, in an order of their own. */
function sample(kind: TransferKind, total: number, random: SeededRandom): CrashAt[] {
  const all = Array.from({ length: total }, (_, index) => index + 1).flatMap((call) => [
    { call, when: "before" } as const,
    { call, when: "after" } as const,
  ]);
  for (let last = all.length - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    [all[last], all[other]] = [all[other]!, all[last]!];
  }
  if (isFull) return all;
  return all.slice(0, isPodVolume(kind) ? 4 : 8);
}

describe.each(transferKinds)(`%s, killed at any call (seed ${seed})`, (kind) => {
  describe.each(stories)("%s", (story) => {
    it.each(["restart", "lost"] satisfies Ending[])("then %s", async (ending) => {
      const total = await run(kind, story, ending);
      const random = seededRandom(seed + stories.indexOf(story) * 2 + (ending === "lost" ? 1 : 0));
      const crashes = sample(kind, total, random);
      for (const at of crashes) {
        try {
          await run(kind, story, ending, at);
        } catch (error) {
          throw new Error(`killed ${at.when} call ${at.call} of ${total}`, { cause: error });
        }
      }
      counts.set(`${kind} ${story} ${ending}`, crashes.length);
    });
  });
});

afterAll(() => {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  console.log(`node agents killed ${total} times (seed ${seed}): all ended, nothing left behind`);
});
