/** Agents, pods, nodes and the API server come and go: the conformance rows 47 to 61, for all kinds. */
import { AccessError, StorageError } from "@dm/core";
import { isFinalPhase } from "@dm/crds";
import { seededRandom } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { isPodVolume } from "../../src/mover/index.ts";
import { notes, type TransferKind, transferKinds } from "../../src/node-agent/transfer.ts";
import { operator, resourceOf } from "./fake-cluster.ts";
import { Harness } from "./harness.ts";
import { minute } from "./objects.ts";

const kinds = transferKinds;
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);

function make({ cluster }: Harness, kind: TransferKind, name = "data"): void {
  cluster.make(kind, name);
}

const reach = (harness: Harness, kind: TransferKind, phase: string) =>
  harness.until(() => harness.phase(kind, "data") === phase);

/** Phases that pass in a moment are held. */
function hold(harness: Harness, phase: string): void {
  if (phase === "Accepted") holdPods(harness);
  if (phase === "Prepared") harness.agent("a").settings.concurrency = 0;
}

/** Hosting pods do not start. */
function holdPods({ cluster }: Harness): void {
  cluster.podStatus = ({ metadata }) =>
    metadata.namespace === operator ? { phase: "Pending" } : undefined;
}

function letGo(harness: Harness): void {
  harness.cluster.podStatus = () => undefined;
  harness.agent("a").settings.concurrency = 1;
}

const toTheEnd = async (harness: Harness, kind: TransferKind) => {
  await harness.until(() => isFinalPhase(harness.phase(kind, "data")));
  return harness.get(kind, "data")?.status;
};

describe.each(kinds)("%s", (kind) => {
  it.each(["Accepted", "Prepared", "InProgress"])(
    "rows 47, 48: an agent killed in %s goes on after its restart",
    async (phase) => {
      await using harness = await Harness.open(["a"], {
        settings: phase === "Prepared" ? { concurrency: 0 } : {},
      });
      if (phase === "Accepted") holdPods(harness);
      harness.cluster.mover.ticks = 20;
      make(harness, kind);
      await reach(harness, kind, phase);
      await harness.advance(20_000);
      const pod = harness.cluster.pod("data")?.metadata.uid;
      const { bytesDone = 0 } = harness.get(kind, "data")?.status?.progress ?? {};
      harness.stopAgent("a");
      await harness.advance(20_000);
      expect(harness.phase(kind, "data")).toBe(phase);
      harness.cluster.podStatus = () => undefined;
      harness.startAgent("a", {});
      await reach(harness, kind, "InProgress");
      await harness.advance(20_000);
      expect(harness.get(kind, "data")?.status?.progress?.bytesDone).toBeGreaterThan(bytesDone);
      expect(harness.cluster.pod("data")?.metadata.uid).toBe(pod);
      expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
      expect(harness.cluster.leftovers()).toEqual([]);
    },
  );

  it("row 51: a pod that finished while the agent was down: the result is taken", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 2;
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    harness.stopAgent("a");
    await harness.advance(minute);
    expect(harness.cluster.pod("data")?.status?.phase).toBe("Succeeded");
    harness.startAgent("a");
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
  });

  it("row 51: also when somebody removed the pod", async () => {
    await using harness = await Harness.open();
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    harness.stopAgent("a");
    await harness.advance(minute);
    harness.cluster.api.delete("pods", "velero", "data", { gracePeriodSeconds: 0 });
    harness.startAgent("a");
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
  });

  it("row 50: a mover killed twice is made again twice, and ends well", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    const uids = new Set<string>();
    for (const how of ["killed", "deleted"]) {
      const pod = cluster.pod("data");
      uids.add(pod?.metadata.uid ?? "");
      if (how === "killed" && pod) cluster.endMover(pod, 137, "", "OOMKilled");
      else cluster.api.delete("pods", "velero", "data", { gracePeriodSeconds: 0 });
      await harness.advance(30_000);
      expect(harness.phase(kind, "data")).toBe("InProgress");
      expect(cluster.pod("data")?.status?.phase).toBe("Running");
      expect(uids).not.toContain(cluster.pod("data")?.metadata.uid);
    }
    expect(
      harness.agent("a").told.counts.filter((text) => text.startsWith("dm_mover")),
    ).toHaveLength(2);
    cluster.mover.ticks = 1;
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 50: a pod that was replaced is not counted again while the cache still has it", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    const pod = cluster.pod("data");
    if (pod) cluster.endMover(pod, 137);
    const old = cluster.pod("data");
    const { view } = harness.agent("a").deps;
    (view as { hostingPod: unknown }).hostingPod = () => old;
    await harness.advance(2 * minute);
    expect(cluster.pod("data")?.status?.phase).toBe("Running");
    const { annotations = {} } = harness.get(kind, "data")?.metadata ?? {};
    expect(JSON.parse(annotations[notes.resume] ?? "")).toMatchObject({ count: 1, pending: false });
  });

  it("row 50: a mover that is killed every time: Failed with the cause, cleaned up", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    make(harness, kind);
    await harness.until(() => {
      const pod = cluster.pod("data");
      const isRunning = harness.phase(kind, "data") === "InProgress";
      if (isRunning && pod?.status?.phase === "Running")
        cluster.endMover(pod, 137, "", "OOMKilled");
      return isFinalPhase(harness.phase(kind, "data"));
    });
    expect(harness.get(kind, "data")?.status).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(/OOMKilled.*made again 3 times/),
    });
    await harness.advance(minute);
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 50: a mover that ends with a reason is not tried again", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.failure = "the repository is locked";
    make(harness, kind);
    expect(await toTheEnd(harness, kind)).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("the repository is locked"),
    });
    expect(harness.agent("a").told.counts.join()).not.toContain("dm_mover_restarts_total");
  });

  it.each(["Accepted", "Prepared", "InProgress"])(
    "row 52: node and agent are lost in %s: the work is done elsewhere, or Failed where the volume was",
    async (phase) => {
      await using harness = await Harness.open(["a", "b"], {
        settings: phase === "Prepared" ? { concurrency: 0 } : {},
        agents: ["a"],
      });
      const { cluster } = harness;
      const isHeld = phase === "Accepted" && !isPodVolume(kind);
      cluster.schedule = () => (isHeld ? undefined : "a");
      if (phase === "Accepted" && isPodVolume(kind)) holdPods(harness);
      cluster.mover.ticks = 1_000;
      make(harness, kind);
      await reach(harness, kind, phase);
      harness.stopAgent("a");
      cluster.loseNode("a");
      harness.startAgent("b", {});
      cluster.schedule = () => "b";
      cluster.mover.ticks = 2;
      await harness.advance(12 * minute, 20_000);
      const elsewhere = { phase: "Completed", node: "b" };
      expect(harness.get(kind, "data")?.status).toMatchObject(
        isPodVolume(kind) ? { phase: "Failed" } : elsewhere,
      );
      expect(cluster.leftovers()).toEqual([]);
    },
  );

  it("row 52: with a cancel: Canceled in bounded time", async () => {
    await using harness = await Harness.open(["a", "b"], { agents: ["a"] });
    const { cluster } = harness;
    cluster.schedule = () => "a";
    cluster.mover.ticks = 1_000;
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    harness.stopAgent("a");
    cluster.loseNode("a");
    harness.startAgent("b");
    harness.cancel(kind, "data");
    await harness.advance(10 * minute, 20_000);
    expect(harness.phase(kind, "data")).toBe("Canceled");
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 52: an agent that is away for a minute keeps its work", async () => {
    await using harness = await Harness.open(["a", "b"]);
    const { cluster } = harness;
    cluster.schedule = () => "a";
    cluster.mover.ticks = 60;
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    harness.stopAgent("a");
    await harness.advance(3 * minute, 20_000);
    expect(Object.keys(harness.get(kind, "data")?.metadata.annotations ?? {})).toHaveLength(1);
    harness.startAgent("a");
    await harness.advance(2 * minute, 20_000);
    expect(harness.get(kind, "data")?.metadata.annotations ?? {}).toEqual({});
    const status = await toTheEnd(harness, kind);
    expect(status).toMatchObject({ phase: "Completed" });
    expect(status?.node).toBe(kind === "PodVolumeBackup" ? undefined : "a");
  });

  it.each(["Accepted", "Prepared", "InProgress"])(
    "row 53: the API server is away for 2 minutes in %s",
    async (phase) => {
      let away = false;
      const before = (): void => {
        if (away) throw new StorageError("DM_KUBE_UNAVAILABLE", "refused", {}, { retryable: true });
      };
      await using harness = await Harness.open(["a"], { before });
      harness.cluster.mover.ticks = 40;
      hold(harness, phase);
      make(harness, kind);
      await reach(harness, kind, phase);
      away = true;
      await harness.advance(2 * minute);
      expect(harness.phase(kind, "data")).toBe(phase);
      away = false;
      letGo(harness);
      expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
      expect(harness.cluster.leftovers()).toEqual([]);
    },
  );

  it(`row 58: a fifth of all calls answered with 429 or 500 (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    const before = (): void => {
      if (random.integer(100) < 20)
        throw new StorageError("DM_KUBE_UNAVAILABLE", "try later", {}, { retryable: true });
    };
    await using harness = await Harness.open(["a", "b"], { before });
    make(harness, kind);
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
    await harness.advance(minute);
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it(`row 58: answers that are lost after the work was done (seed ${seed})`, async () => {
    const random = seededRandom(seed + 1);
    const after = (): void => {
      if (random.integer(100) < 20)
        throw new StorageError("DM_KUBE_UNAVAILABLE", "connection reset", {}, { retryable: true });
    };
    await using harness = await Harness.open(["a", "b"], { after });
    make(harness, kind);
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
    await harness.advance(minute);
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("row 56: decisions from old copies do no harm, and no final phase is overwritten", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    const agent = harness.agent("a");
    // Every copy that ever was, offered to the agent again, in no good order.
    const copies: unknown[] = [];
    cluster.api.watch(resourceOf(kind), ({ object }) => copies.push(object));
    make(harness, kind);
    await toTheEnd(harness, kind);
    await harness.advance(minute);
    const last = harness.get(kind, "data");
    const fresh = agent.deps.view.transfer;
    for (const copy of copies.toReversed()) {
      (agent.deps.view as { transfer: unknown }).transfer = () => copy;
      agent.enqueue(kind, "data");
      await agent.work();
    }
    (agent.deps.view as { transfer: unknown }).transfer = fresh;
    expect(copies.length).toBeGreaterThan(5);
    expect(harness.get(kind, "data")).toEqual(last);
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 59: the same news again and again has no effect", async () => {
    await using harness = await Harness.open();
    make(harness, kind);
    await harness.until(() => {
      harness.agent("a").enqueue(kind, "data");
      return isFinalPhase(harness.phase(kind, "data"));
    });
    const { writes } = harness.agent("a").client;
    for (let round = 0; round < 20; round++) {
      harness.agent("a").enqueue(kind, "data");
      await harness.agent("a").work();
    }
    expect(harness.agent("a").client.writes).toBe(writes);
    expect(harness.phase(kind, "data")).toBe("Completed");
  });

  it.each(["Accepted", "Prepared", "InProgress", "Canceling"])(
    "row 60: a clock that jumps an hour, either way, in %s",
    async (phase) => {
      for (const jumpMs of [60 * minute, -60 * minute]) {
        await using harness = await Harness.open();
        harness.cluster.mover.ticks = 4;
        hold(harness, phase);
        make(harness, kind);
        if (phase === "Canceling") {
          harness.cluster.mover.ignoresCancel = true;
          await reach(harness, kind, "InProgress");
          harness.cancel(kind, "data");
        }
        await reach(harness, kind, phase);
        harness.cluster.clock.advance(jumpMs);
        letGo(harness);
        // Delays in the queue are measured, not told by the wall clock.
        harness.agent("a").enqueue(kind, "data", Number.NEGATIVE_INFINITY);
        await harness.until(
          () => isFinalPhase(harness.phase(kind, "data")),
          3 * 60 * minute,
          minute,
        );
        await harness.advance(minute);
        expect(harness.cluster.leftovers()).toEqual([]);
      }
    },
  );

  it("row 61: a token that is refused for a while", async () => {
    let refused = false;
    const before = (): void => {
      if (refused) throw new AccessError("DM_KUBE_UNAUTHORIZED", "Unauthorized");
    };
    await using harness = await Harness.open(["a"], { before });
    harness.cluster.mover.ticks = 20;
    make(harness, kind);
    await reach(harness, kind, "InProgress");
    refused = true;
    await harness.advance(minute);
    refused = false;
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
  });
});
