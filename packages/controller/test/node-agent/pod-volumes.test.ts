/**
 * PodVolumeBackups and PodVolumeRestores from New to their end, on the embedded API server with the real exposer: only the node of the
 * pod acts, pods that start, end or vanish at any moment are noticed, and nothing is left behind.
 */
import { finalizers, labels } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { TransferKind } from "../../src/node-agent/transfer.ts";
import { app, operator } from "./fake-cluster.ts";
import { Harness } from "./harness.ts";
import { minute, snapshotID, timestampPattern } from "./objects.ts";

const kinds = ["PodVolumeBackup", "PodVolumeRestore"] satisfies TransferKind[];
const isOver = (harness: Harness, kind: TransferKind) =>
  ["Completed", "Failed", "Canceled"].includes(harness.phase(kind, "db-0"));

async function toTheEnd(harness: Harness, kind: TransferKind, limitMs?: number) {
  await harness.until(() => isOver(harness, kind), limitMs);
  return harness.get(kind, "db-0")?.status;
}

const setClient = ({ cluster }: Harness, status: object) =>
  cluster.setStatus("pods", app, "db-0", status);
const removeClient = ({ cluster }: Harness) =>
  cluster.api.delete("pods", app, "db-0", { gracePeriodSeconds: 0 });

describe("a PodVolumeBackup", () => {
  const kind = "PodVolumeBackup";

  it("is Completed with its result, and nothing is left", async () => {
    await using harness = await Harness.open(["a", "b"]);
    harness.cluster.schedule = () => "b";
    harness.cluster.make(kind, "db-0");
    await toTheEnd(harness, kind);
    const backup = harness.get(kind, "db-0");
    expect(backup?.status).toEqual({
      phase: "Completed",
      snapshotID,
      path: `/${backup?.metadata.uid}`,
      incrementalBytes: 40,
      progress: { bytesDone: 100, totalBytes: 100 },
      acceptedTimestamp: timestampPattern,
      startTimestamp: timestampPattern,
      completionTimestamp: timestampPattern,
    });
    expect(backup?.metadata.finalizers ?? []).toEqual([]);
    expect(backup?.metadata.labels?.[labels.exposeOnGoing]).toBeUndefined();
    expect(backup?.metadata.annotations ?? {}).toEqual({});
    expect(harness.cluster.leftovers()).toEqual([]);
    expect(harness.agent("b").told.counts).toContain("pod_volume_backup_success_total b");
    // Who is on another node does not even add the finalizer.
    expect(harness.agent("a").client.writes).toBe(0);
  });

  it("says so of an empty volume, in Velero's words", async () => {
    await using harness = await Harness.open();
    const source = { byPath: "/x", volumeMode: "Filesystem" };
    harness.cluster.mover.message = JSON.stringify({ snapshotID, emptySnapshot: true, source });
    harness.cluster.make(kind, "db-0");
    const message = "volume was empty so no snapshot was taken";
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed", message });
  });

  it.each([
    ["is gone", removeClient],
    ["is over", (harness: Harness) => setClient(harness, { phase: "Succeeded" })],
  ])("whose pod %s before its files were read is not taken for whole", async (_what, end) => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 20;
    harness.cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    end(harness);
    expect(await toTheEnd(harness, kind)).toMatchObject({
      phase: "Failed",
      message: "pod app/db-0 ended while its volume was backed up: the snapshot may lack files",
      snapshotID,
    });
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("whose pod is gone from the start is Failed", async () => {
    await using harness = await Harness.open(["a"], { agents: [] });
    harness.cluster.make(kind, "db-0");
    removeClient(harness);
    harness.startAgent("a");
    expect(await toTheEnd(harness, kind)).toMatchObject({
      phase: "Failed",
      message: "error to expose PVB: error getting client pod app/db-0: it is over or gone",
      startTimestamp: timestampPattern,
    });
  });
});

describe("a PodVolumeRestore", () => {
  const kind = "PodVolumeRestore";

  it("is Completed once its pod has its files, and nothing is left", async () => {
    await using harness = await Harness.open(["a", "b"]);
    harness.cluster.schedule = () => "b";
    harness.cluster.make(kind, "db-0");
    expect(await toTheEnd(harness, kind)).toEqual({
      phase: "Completed",
      node: "b",
      progress: { bytesDone: 100, totalBytes: 100 },
      acceptedTimestamp: timestampPattern,
      startTimestamp: timestampPattern,
      completionTimestamp: timestampPattern,
    });
    expect(harness.cluster.leftovers()).toEqual([]);
    expect(harness.agent("b").told.counts).toContain("pod_volume_restore_success_total b");
    expect(harness.agent("a").client.writes).toBe(0);
    await harness.settle();
    expect(harness.cluster.api.get("pods", app, "db-0")?.status?.phase).toBe("Running");
  });

  it("stays New until its pod waits for its files", async () => {
    await using harness = await Harness.open();
    harness.cluster.podStatus = ({ metadata }) =>
      metadata.namespace === app ? { phase: "Pending" } : undefined;
    harness.cluster.make(kind, "db-0");
    await harness.advance(10 * minute, minute);
    expect(harness.phase(kind, "db-0")).toBe("");
    harness.cluster.podStatus = () => undefined;
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
  });

  it("waits for a node for its pod", async () => {
    await using harness = await Harness.open(["a"], { agents: [] });
    harness.cluster.schedule = () => undefined;
    harness.cluster.make(kind, "db-0");
    harness.startAgent("a");
    await harness.advance(20 * minute, minute);
    expect(harness.phase(kind, "db-0")).toBe("");
    harness.cluster.schedule = () => "a";
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed", node: "a" });
  });

  it("does not write into a pod that runs", async () => {
    await using harness = await Harness.open();
    harness.cluster.filled.add("db-0");
    harness.cluster.make(kind, "db-0");
    expect(await toTheEnd(harness, kind)).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("pod app/db-0 does not wait for its files"),
    });
    expect(harness.cluster.pod("db-0")).toBeUndefined();
  });

  it("of a pod that is gone is Failed, by one agent that looks for it", async () => {
    await using harness = await Harness.open(["a", "b"], { agents: [] });
    harness.cluster.make(kind, "db-0");
    removeClient(harness);
    for (const node of ["a", "b"]) harness.startAgent(node);
    expect(await toTheEnd(harness, kind, 10 * minute)).toMatchObject({
      phase: "Failed",
      message: "pod app/db-0 is over or gone",
    });
    expect(harness.agent("b").client.calls).toBe(0);
  });

  it("of a pod on a node without an agent is Failed", async () => {
    await using harness = await Harness.open(["a", "b"], { agents: ["a"] });
    harness.cluster.schedule = () => "b";
    harness.cluster.make(kind, "db-0");
    expect(await toTheEnd(harness, kind, 10 * minute)).toMatchObject({
      phase: "Failed",
      message: "pod app/db-0 is on node b, where no node agent runs",
    });
  });

  it("whose mover was killed when all was done is Completed, and not done again", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    const mover = cluster.pod("db-0");
    if (mover) cluster.endMover(mover, 137);
    cluster.filled.add("db-0");
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
    expect(cluster.leftovers()).toEqual([]);
  });

  it("whose mover was killed before gives its pod the time to say whether it still waits", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    const mover = cluster.pod("db-0");
    if (mover) cluster.endMover(mover, 137);
    await harness.advance(5_000, 1_000);
    // Its container is over; its status will say so in a moment.
    expect(cluster.pod("db-0")?.metadata.uid).toBe(mover?.metadata.uid);
    cluster.filled.add("db-0");
    expect(await toTheEnd(harness, kind)).toMatchObject({ phase: "Completed" });
  });

  it("whose mover and pod are gone is Failed", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    removeClient(harness);
    const mover = cluster.pod("db-0");
    if (mover) cluster.endMover(mover, 137);
    expect(await toTheEnd(harness, kind)).toMatchObject({
      phase: "Failed",
      message: "pod app/db-0 is over or gone",
    });
  });
});

describe.each(kinds)("%s", (kind) => {
  it("is refused where restic made it, with the remedy", async () => {
    await using harness = await Harness.open();
    harness.cluster.make(kind, "db-0", { uploaderType: "restic" });
    expect(await toTheEnd(harness, kind)).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(/restic.*only kopia can be restored/),
    });
    expect(harness.cluster.pod("db-0")).toBeUndefined();
  });

  it("has Velero's finalizer while it is worked on, and its hosting pod's labels", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 1_000;
    harness.cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    expect(harness.get(kind, "db-0")?.metadata.finalizers).toEqual([finalizers.podVolume]);
    const label = kind === "PodVolumeBackup" ? "pod-volume-backup" : "pod-volume-restore";
    expect(harness.cluster.pod("db-0")?.metadata.labels).toMatchObject({
      [`velero.io/${label}`]: "db-0",
    });
  });

  it("is never touched where the agent is not told to", async () => {
    await using harness = await Harness.open(["a"], { settings: { podVolumes: false } });
    harness.cluster.make(kind, "db-0");
    harness.cancel(kind, "db-0");
    await harness.advance(10 * minute, minute);
    expect(harness.phase(kind, "db-0")).toBe("");
    expect(harness.agent("a").client.writes).toBe(0);
  });

  it("is Canceled at once while it is New, whoever sees it", async () => {
    await using harness = await Harness.open(["a", "b"], { agents: [] });
    harness.cluster.schedule = () => "b";
    harness.cluster.make(kind, "db-0");
    harness.cancel(kind, "db-0");
    harness.startAgent("a");
    expect(await toTheEnd(harness, kind, minute)).toMatchObject({ phase: "Canceled" });
  });

  it("is Canceled while its mover works", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 1_000;
    harness.cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    harness.cancel(kind, "db-0");
    expect(await toTheEnd(harness, kind, minute)).toMatchObject({
      phase: "Canceled",
      completionTimestamp: timestampPattern,
    });
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("goes away with its work when it is deleted", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 1_000;
    harness.cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    harness.cluster.api.delete(`${kind.toLowerCase()}s.velero.io`, operator, "db-0");
    await harness.until(() => harness.get(kind, "db-0") === undefined, 10 * minute);
    await harness.settle();
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("whose mover is killed goes on, three times", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    cluster.make(kind, "db-0");
    let kills = 0;
    await harness.until(() => {
      const pod = cluster.pod("db-0");
      if (pod?.status?.phase === "Running" && harness.phase(kind, "db-0") === "InProgress") {
        kills++;
        cluster.endMover(pod, 137);
      }
      return isOver(harness, kind);
    });
    expect(kills).toBe(4);
    expect(harness.message(kind, "db-0")).toMatch(/the hosting pod was made again 3 times$/);
  });

  it("whose hosting pod never starts is Failed in time, with a diagnosis", async () => {
    await using harness = await Harness.open();
    harness.cluster.podStatus = ({ metadata }) =>
      metadata.namespace === operator ? { phase: "Pending" } : undefined;
    harness.cluster.make(kind, "db-0");
    const short = kind === "PodVolumeBackup" ? "PVB" : "PVR";
    expect(await toTheEnd(harness, kind, 40 * minute)).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(
        new RegExp(`^timeout on preparing ${short}: Pod velero/db-0, phase Pending`),
      ),
    });
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("whose hosting pod has no image is Canceled with the reason", async () => {
    await using harness = await Harness.open();
    const state = { waiting: { reason: "ErrImageNeverPull" } };
    harness.cluster.podStatus = ({ metadata }) =>
      metadata.namespace === operator
        ? { phase: "Pending", containerStatuses: [{ name: "m", state }] }
        : undefined;
    harness.cluster.make(kind, "db-0");
    expect(await toTheEnd(harness, kind, 5 * minute)).toMatchObject({
      phase: "Canceled",
      message: expect.stringContaining("ErrImageNeverPull"),
    });
  });

  it.each(["New", "Accepted", "Prepared", "InProgress"])(
    "on a node that is lost in %s is Failed by another agent, and cleaned up",
    async (phase) => {
      await using harness = await Harness.open(["a", "b"], {
        settings: { concurrency: phase === "Prepared" ? 0 : 1 },
        agents: phase === "New" ? [] : ["a", "b"],
      });
      const { cluster } = harness;
      cluster.schedule = () => "b";
      cluster.mover.ticks = 1_000;
      if (phase === "Accepted")
        cluster.podStatus = ({ metadata }) =>
          metadata.namespace === operator ? { phase: "Pending" } : undefined;
      cluster.make(kind, "db-0");
      if (phase === "New") harness.startAgent("a");
      else await harness.until(() => harness.phase(kind, "db-0") === phase);
      harness.stopAgent("b");
      cluster.loseNode("b");
      expect(await toTheEnd(harness, kind, 20 * minute)).toMatchObject({
        phase: "Failed",
        message: expect.stringMatching(/node b/),
      });
      await harness.advance(2 * minute, 30_000);
      expect(cluster.leftovers()).toEqual([]);
    },
  );

  it("that told its result before its node was lost is Completed", async () => {
    await using harness = await Harness.open(["a", "b"]);
    const { cluster } = harness;
    cluster.schedule = () => "b";
    cluster.mover.ticks = 3;
    cluster.make(kind, "db-0");
    await harness.until(() => harness.phase(kind, "db-0") === "InProgress");
    harness.stopAgent("b");
    await harness.advance(minute, 10_000);
    cluster.loseNode("b");
    expect(await toTheEnd(harness, kind, 20 * minute)).toMatchObject({ phase: "Completed" });
  });

  it("costs 19 requests with five reports of progress, as the README says", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 5;
    harness.cluster.make(kind, "db-0");
    await harness.until(() => isOver(harness, kind));
    expect(harness.agent("a").client.calls).toBeLessThanOrEqual(19);
  });
});

it("data paths of all kinds share the places of a node", async () => {
  await using harness = await Harness.open();
  const { cluster } = harness;
  cluster.mover.ticks = 6;
  const all = [
    ["DataUpload", "one"],
    ["PodVolumeBackup", "two"],
    ["PodVolumeRestore", "three"],
  ] as const;
  for (const [kind, name] of all) cluster.make(kind, name);
  let most = 0;
  await harness.until(() => {
    const phases = all.map(([kind, name]) => harness.phase(kind, name));
    most = Math.max(most, phases.filter((phase) => phase === "InProgress").length);
    return phases.every((phase) => phase === "Completed");
  });
  expect(most).toBe(1);
});
