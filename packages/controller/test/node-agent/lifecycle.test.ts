/**
 * DataUploads and DataDownloads from New to their end, on the embedded API server with the real exposers: the conformance rows of
 * resources, acceptance, queues and results.
 */
import { finalizers, labels } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { TransferKind } from "../../src/node-agent/transfer.ts";
import { app, operator } from "./fake-cluster.ts";
import { Harness } from "./harness.ts";
import { snapshotID, timestampPattern } from "./objects.ts";

const kinds = ["DataUpload", "DataDownload"] satisfies TransferKind[];
const isOver = (harness: Harness, kind: TransferKind, name: string) =>
  ["Completed", "Failed", "Canceled"].includes(harness.phase(kind, name));

/** One volume to move, and the object that asks for it. */
function make(harness: Harness, kind: TransferKind, name: string, spec: object = {}): void {
  if (kind === "DataUpload") {
    harness.cluster.source(name);
    harness.cluster.upload(name, spec);
  } else {
    harness.cluster.target(name);
    harness.cluster.download(name, spec);
  }
}

async function toTheEnd(harness: Harness, kind: TransferKind, name: string) {
  await harness.until(() => isOver(harness, kind, name));
  return harness.get(kind, name)?.status;
}

describe("a DataUpload", () => {
  it("row 22: is Completed with its result, and nothing is left", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    make(harness, "DataUpload", "data");
    await toTheEnd(harness, "DataUpload", "data");
    const upload = harness.get("DataUpload", "data");
    expect(upload?.status).toMatchObject({
      phase: "Completed",
      snapshotID,
      path: `/${upload?.metadata.uid}`,
      node: "a",
      nodeOS: "linux",
      acceptedByNode: "a",
      incrementalBytes: 40,
      progress: { bytesDone: 100, totalBytes: 100 },
      acceptedTimestamp: timestampPattern,
      startTimestamp: timestampPattern,
      completionTimestamp: timestampPattern,
    });
    expect(upload?.metadata.finalizers ?? []).not.toContain(finalizers.dataUploadDownload);
    expect(upload?.metadata.labels?.[labels.exposeOnGoing]).toBeUndefined();
    expect(upload?.metadata.annotations ?? {}).toEqual({});
    expect(cluster.leftovers()).toEqual([]);
    expect(harness.agent("a").told.counts).toContain("data_upload_success_total a");
    expect(harness.agent("a").told.events).toEqual([
      "data Normal Accepted: accepted by a",
      "data Normal Exposed: the hosting pod runs on a",
      "data Normal CleanedUp: intermediate objects are removed",
    ]);
  });

  it("row 11: makes four objects of its own name, of which it owns two", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.schedule = () => undefined;
    make(harness, "DataUpload", "data");
    await harness.until(() => cluster.pod("data") !== undefined);
    const uid = harness.get("DataUpload", "data")?.metadata.uid;
    const owned = [
      cluster.pod("data"),
      cluster.api.get("persistentvolumeclaims", operator, "data"),
    ];
    for (const object of owned) expect(object?.metadata.ownerReferences?.[0]?.uid).toBe(uid);
    const free = [
      cluster.api.get("volumesnapshots.snapshot.storage.k8s.io", operator, "data"),
      cluster.api.get("volumesnapshotcontents.snapshot.storage.k8s.io", "", "data"),
    ];
    for (const object of free) {
      expect(object).toBeDefined();
      expect(object?.metadata.ownerReferences).toBeUndefined();
    }
  });

  it("row 24: of an empty volume says so", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.message = JSON.stringify({
      snapshotID,
      emptySnapshot: true,
      source: { byPath: "/x", volumeMode: "Filesystem" },
    });
    make(harness, "DataUpload", "data");
    expect(await toTheEnd(harness, "DataUpload", "data")).toMatchObject({
      phase: "Completed",
      message: "volume was empty so no data was upload",
      snapshotID,
    });
  });

  it("row 25: without its source claim is Failed", async () => {
    await using harness = await Harness.open();
    harness.cluster.upload("data");
    expect(await toTheEnd(harness, "DataUpload", "data")).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(/^error exposing snapshot: failed to get PVC app\/data/),
      startTimestamp: timestampPattern,
      completionTimestamp: timestampPattern,
    });
    expect(harness.cluster.leftovers()).toEqual([]);
    expect(harness.agent("a").told.counts).toContain("data_upload_failure_total a");
  });

  it("row 26: of an unknown snapshot type is Failed, and nothing was made", async () => {
    await using harness = await Harness.open();
    make(harness, "DataUpload", "data", { snapshotType: "Foo" });
    const before = harness.cluster.leftovers();
    expect(await toTheEnd(harness, "DataUpload", "data")).toMatchObject({
      phase: "Failed",
      message: "not exist type of exposer: Foo type of snapshot exposer is not exist",
    });
    expect(harness.cluster.leftovers()).toEqual(before);
  });

  it("row 28: keeps the id of a snapshot that a failed mover saved", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.failure = `Error when processing /a/b: permission denied; snapshot ${snapshotID} was saved`;
    make(harness, "DataUpload", "data");
    expect(await toTheEnd(harness, "DataUpload", "data")).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("/a/b"),
      snapshotID,
    });
    expect(harness.cluster.leftovers()).toEqual([]);
    // With the pod its log is gone.
    expect(harness.agent("a").told.logs.join()).toContain("line of data");
  });

  it("row 29: on a full XFS volume is Failed at once, with the remedies", async () => {
    await using harness = await Harness.open(["a"]);
    const { cluster } = harness;
    cluster.podStatus = () => ({
      phase: "Pending",
      containerStatuses: [
        {
          name: "m",
          state: {
            waiting: {
              reason: "CreateContainerError",
              message: "relabel failed /x: lsetxattr /x: no space left on device",
            },
          },
        },
      ],
    });
    make(harness, "DataUpload", "data");
    await harness.until(() => isOver(harness, "DataUpload", "data"), 2 * 60_000);
    expect(harness.get("DataUpload", "data")?.status).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(/app\/data.*full.*Enlarge the volume, use ext4/s),
    });
    expect(cluster.leftovers()).toEqual([]);
  });

  it("2.4: with a success that cannot be read is Failed", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.message = "done";
    make(harness, "DataUpload", "data");
    expect(await toTheEnd(harness, "DataUpload", "data")).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("no result of a backup"),
    });
  });
});

describe("a DataDownload", () => {
  it("row 80: is Completed with its volume bound to the target, and nothing is left", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    make(harness, "DataDownload", "data");
    expect(await toTheEnd(harness, "DataDownload", "data")).toMatchObject({
      phase: "Completed",
      node: "a",
      progress: { bytesDone: 100, totalBytes: 100 },
    });
    const target = cluster.api.get("persistentvolumeclaims", app, "data");
    expect(target?.status?.phase).toBe("Bound");
    const volume = cluster.api.get("persistentvolumes", "", target?.spec.volumeName);
    expect(volume?.spec).toMatchObject({
      persistentVolumeReclaimPolicy: "Delete",
      claimRef: { name: "data", namespace: app, uid: target?.metadata.uid },
    });
    expect(cluster.leftovers()).toEqual([]);
    expect(harness.agent("a").told.counts).toContain("data_download_success_total a");
  });

  it("row 79: stays New until the target exists", async () => {
    await using harness = await Harness.open();
    harness.cluster.download("data");
    await harness.advance(60_000);
    expect(harness.phase("DataDownload", "data")).toBe("");
    harness.cluster.target("data");
    expect(await toTheEnd(harness, "DataDownload", "data")).toMatchObject({ phase: "Completed" });
  });

  it("row 83: refuses a bound target and leaves it alone", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.claim(app, "data");
    cluster.provision();
    cluster.download("data");
    const before = cluster.api.get("persistentvolumeclaims", app, "data");
    expect(await toTheEnd(harness, "DataDownload", "data")).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("has already been bound, abort"),
    });
    expect(cluster.api.get("persistentvolumeclaims", app, "data")?.spec).toEqual(before?.spec);
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 86: without its target at the end is Failed and cleaned up", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.mover.ticks = 1_000;
    make(harness, "DataDownload", "data");
    await harness.until(() => harness.phase("DataDownload", "data") === "InProgress");
    cluster.api.delete("persistentvolumeclaims", app, "data");
    cluster.mover.ticks = 1;
    expect(await toTheEnd(harness, "DataDownload", "data")).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(/^error rebinding volume: error to get target PVC/),
    });
    await harness.advance(60_000);
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 87: with the mover's failure is Failed", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.failure = "Unable to load snapshot x";
    make(harness, "DataDownload", "data");
    const status = await toTheEnd(harness, "DataDownload", "data");
    expect(status).toMatchObject({
      phase: "Failed",
      message: "data path restore failed: Unable to load snapshot x",
    });
    await harness.advance(30_000);
    expect(harness.cluster.leftovers()).toEqual([]);
  });
});

it.each([
  ["DataUpload", 69],
  ["DataDownload", 45],
] as const)("a %s costs %i requests, as the README says", async (kind, stated) => {
  await using harness = await Harness.open();
  harness.cluster.mover.ticks = 5;
  make(harness, kind, "data");
  await toTheEnd(harness, kind, "data");
  expect(harness.agent("a").client.calls).toBeLessThanOrEqual(stated);
});

describe.each(kinds)("%s, who acts", (kind) => {
  it("row 9: the first reconcile adds the finalizer and nothing else", async () => {
    await using harness = await Harness.open(["a"], { agents: [] });
    make(harness, kind, "data");
    const agent = harness.startAgent("a");
    await agent.learn();
    await agent.work();
    const object = harness.get(kind, "data");
    expect(object?.metadata.finalizers).toContain(finalizers.dataUploadDownload);
    expect(object?.status?.phase).toBeUndefined();
  });

  it("row 10: of two agents one accepts; the other makes nothing", async () => {
    // Both decide before either writes.
    const waiting: (() => void)[] = [];
    const together = async (what: string): Promise<void> => {
      if (!what.startsWith("replace data")) return;
      await new Promise<void>((go) => {
        waiting.push(go);
        if (waiting.length === 2) for (const each of waiting.splice(0)) each();
      });
    };
    await using harness = await Harness.open(["a", "b"], { agents: [] });
    make(harness, kind, "data");
    harness.change(kind, "data", ({ metadata }) => {
      metadata.finalizers = [finalizers.dataUploadDownload];
    });
    harness.cluster.schedule = () => undefined;
    const agents = ["a", "b"].map((node) => harness.startAgent(node, { before: together }));
    await Promise.all(
      agents.map(async (agent) => {
        await agent.learn();
        await agent.work();
      }),
    );
    const winner = harness.get(kind, "data")?.status?.acceptedByNode;
    const [won, lost] = winner === "a" ? agents : agents.toReversed();
    expect(won?.client.writes).toBeGreaterThan(1);
    expect(lost?.client.writes).toBe(1);
    expect(lost?.told.counts).toContain(`dm_conflicts_total ${lost?.node}`);
  });

  it("row 18: the agent on the pod's node goes on, not the one that accepted", async () => {
    await using harness = await Harness.open(["a", "b"], { agents: ["a"] });
    harness.cluster.schedule = () => "b";
    make(harness, kind, "data");
    await harness.until(() => harness.cluster.pod("data")?.status?.phase === "Running");
    await harness.advance(60_000);
    expect(harness.phase(kind, "data")).toBe("Accepted");
    harness.startAgent("b");
    expect(await toTheEnd(harness, kind, "data")).toMatchObject({
      phase: "Completed",
      acceptedByNode: "a",
      node: "b",
    });
  });

  it.each(["acme", "", "velero"])("row 27: data mover %j is never touched", async (datamover) => {
    await using harness = await Harness.open();
    make(harness, kind, "data", { datamover });
    const before = harness.get(kind, "data");
    await harness.advance(10 * 60_000, 60_000);
    harness.cancel(kind, "data");
    await harness.advance(10 * 60_000, 60_000);
    const after = harness.get(kind, "data");
    expect(after?.metadata.finalizers).toBeUndefined();
    expect(after?.status).toEqual(before?.status);
    expect(harness.agent("a").client.writes).toBe(0);
  });

  it("takes Velero's over with the flag", async () => {
    await using harness = await Harness.open(["a"], { settings: { takeOverVelero: true } });
    make(harness, kind, "data", { datamover: "velero" });
    expect(await toTheEnd(harness, kind, "data")).toMatchObject({ phase: "Completed" });
  });
});

describe("queues", () => {
  it("row 19: one data path at a time, of both kinds together", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 6;
    make(harness, "DataUpload", "one");
    make(harness, "DataDownload", "two");
    make(harness, "DataUpload", "three");
    const running = () =>
      [
        harness.phase("DataUpload", "one"),
        harness.phase("DataDownload", "two"),
        harness.phase("DataUpload", "three"),
      ].filter((phase) => phase === "InProgress").length;
    let most = 0;
    await harness.until(() => {
      most = Math.max(most, running());
      return (
        isOver(harness, "DataUpload", "one") &&
        isOver(harness, "DataDownload", "two") &&
        isOver(harness, "DataUpload", "three")
      );
    });
    expect(most).toBe(1);
    for (const [kind, name] of [
      ["DataUpload", "one"],
      ["DataDownload", "two"],
      ["DataUpload", "three"],
    ] as const)
      expect(harness.phase(kind, name)).toBe("Completed");
  });

  it("row 21: no third one while two are exposed", async () => {
    await using harness = await Harness.open(["a"], { settings: { prepareQueueLength: 2 } });
    const { cluster } = harness;
    cluster.schedule = () => undefined;
    for (const name of ["one", "two", "three"]) make(harness, "DataUpload", name);
    await harness.advance(60_000);
    const phases = () => ["one", "two", "three"].map((name) => harness.phase("DataUpload", name));
    expect(phases().filter((phase) => phase === "Accepted")).toHaveLength(2);
    expect(phases().filter((phase) => phase === "")).toHaveLength(1);
    cluster.schedule = () => "a";
    await harness.until(() => phases().every((phase) => phase === "Completed"));
  });
});

describe("progress", () => {
  it("follows the mover's Events, and edits of others survive it (row 57)", async () => {
    await using harness = await Harness.open();
    harness.cluster.mover.ticks = 4;
    make(harness, "DataUpload", "data");
    await harness.until(
      () => harness.get("DataUpload", "data")?.status?.progress?.bytesDone === 50,
    );
    harness.change("DataUpload", "data", ({ metadata }) => {
      metadata.labels = { ...metadata.labels, mine: "kept" };
    });
    await harness.until(
      () => harness.get("DataUpload", "data")?.status?.progress?.bytesDone === 75,
    );
    expect(harness.get("DataUpload", "data")?.metadata.labels).toMatchObject({ mine: "kept" });
    await toTheEnd(harness, "DataUpload", "data");
    expect(harness.get("DataUpload", "data")?.metadata.labels).toMatchObject({ mine: "kept" });
  });
});
