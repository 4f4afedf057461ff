/** Nothing outlives its DataUpload for long, however that ended; what is at work, young or a stranger's is left alone. */
import { describe, expect, it } from "vitest";
import { sweepOrphans } from "../../src/node-agent/sweep.ts";
import { operator } from "./fake-cluster.ts";
import { Harness } from "./harness.ts";
import { minute } from "./objects.ts";

const snapshots = "volumesnapshots.snapshot.storage.k8s.io";
const sweep = (harness: Harness) => sweepOrphans(harness.agent("a").deps, { namespace: operator });

async function running(): Promise<Harness> {
  const harness = await Harness.open();
  harness.cluster.mover.ticks = 1_000;
  harness.cluster.source("data");
  harness.cluster.upload("data");
  await harness.until(() => harness.phase("DataUpload", "data") === "InProgress");
  return harness;
}

async function sweepAll(harness: Harness): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await sweep(harness);
    harness.cluster.work();
  }
}

describe("sweepOrphans", () => {
  it("leaves alone what is at work", async () => {
    await using harness = await running();
    await harness.advance(20 * minute, minute);
    const before = harness.cluster.leftovers();
    expect(before).not.toEqual([]);
    expect(await sweep(harness)).toEqual([]);
    expect(harness.cluster.leftovers()).toEqual(before);
  });

  it("37: removes the snapshots of a DataUpload that vanished without its finalizer", async () => {
    await using harness = await running();
    harness.change("DataUpload", "data", ({ metadata }) => {
      metadata.finalizers = [];
    });
    harness.cluster.api.delete("datauploads.velero.io", operator, "data");
    await harness.settle();
    expect(harness.cluster.leftovers()).toContain("VolumeSnapshot data");
    expect(await sweep(harness)).toEqual([]);
    harness.cluster.clock.advance(11 * minute);
    expect(await sweep(harness)).toEqual(["data"]);
    await sweepAll(harness);
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("finishes a clean-up that was given up", async () => {
    await using harness = await running();
    const { cluster } = harness;
    cluster.api.modify(snapshots, operator, "data", ({ metadata }) => {
      metadata.finalizers = ["example.com/stuck"];
    });
    cluster.mover.ticks = 1;
    await harness.until(() => harness.phase("DataUpload", "data") === "Completed");
    expect(cluster.leftovers()).toContain("VolumeSnapshot data");
    cluster.api.modify(snapshots, operator, "data", ({ metadata }) => {
      metadata.finalizers = [];
    });
    cluster.clock.advance(11 * minute);
    await sweepAll(harness);
    expect(cluster.leftovers()).toEqual([]);
  });

  it("leaves a stranger's snapshots and pods alone", async () => {
    await using harness = await Harness.open();
    const { api, clock } = harness.cluster;
    api.create(snapshots, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshot",
      metadata: { name: "mine", namespace: operator },
      spec: { source: { persistentVolumeClaimName: "x" } },
    });
    api.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "mine", namespace: operator },
      spec: { containers: [{ name: "main", image: "x" }] },
    });
    clock.advance(60 * minute);
    expect(await sweep(harness)).toEqual([]);
    expect(api.get(snapshots, operator, "mine")).toBeDefined();
    expect(api.get("pods", operator, "mine")).toBeDefined();
  });
});
