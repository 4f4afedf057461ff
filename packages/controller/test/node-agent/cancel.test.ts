/** Cancel, deletion and time limits in every phase: the conformance rows 31 to 44, for both kinds where they say so. */
import { describe, expect, it } from "vitest";
import type { TransferKind } from "../../src/node-agent/transfer.ts";
import { app, operator } from "./fake-cluster.ts";
import { type AgentOptions, Harness } from "./harness.ts";
import { minute } from "./objects.ts";

const kinds = ["DataUpload", "DataDownload"] satisfies TransferKind[];

/** An object held in a phase. */
async function inPhase(
  kind: TransferKind,
  phase: string,
  options: AgentOptions = {},
): Promise<Harness> {
  const harness = await Harness.open(["a"], {
    ...options,
    settings: { ...(phase === "Prepared" && { concurrency: 0 }), ...options.settings },
  });
  const { cluster } = harness;
  cluster.mover.ticks = 1_000_000;
  if (phase === "Accepted") cluster.schedule = () => undefined;
  if (kind === "DataUpload") {
    cluster.source("data");
    cluster.upload("data");
  } else {
    if (phase !== "New") cluster.target("data");
    cluster.download("data");
  }
  if (phase !== "New") await harness.until(() => harness.phase(kind, "data") === phase);
  else if (kind === "DataDownload") await harness.advance(20_000);
  return harness;
}

const phases = ["New", "Accepted", "Prepared", "InProgress"];

describe.each(kinds)("%s", (kind) => {
  it("row 31: New + cancel: Canceled, and nothing was made", async () => {
    await using harness = await Harness.open(["a"], { agents: [] });
    if (kind === "DataUpload") harness.cluster.upload("data");
    else harness.cluster.download("data");
    harness.cancel(kind, "data");
    harness.startAgent("a");
    await harness.settle();
    expect(harness.get(kind, "data")?.status).toMatchObject({ phase: "Canceled" });
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("row 32: Accepted + cancel: Canceled in time, and nothing is left", async () => {
    await using harness = await inPhase(kind, "Accepted");
    harness.cancel(kind, "data");
    await harness.advance(minute);
    expect(harness.phase(kind, "data")).toBe("Canceled");
    await harness.advance(minute);
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("row 33: Prepared + cancel: Canceled at once", async () => {
    await using harness = await inPhase(kind, "Prepared");
    harness.cancel(kind, "data");
    await harness.advance(30_000);
    expect(harness.phase(kind, "data")).toBe("Canceled");
    expect(harness.cluster.leftovers()).toEqual([]);
    const name = kind === "DataUpload" ? "data_upload" : "data_download";
    expect(harness.agent("a").told.counts).toContain(`${name}_cancel_total a`);
  });

  it("row 34: InProgress + cancel: Canceling, then Canceled", async () => {
    await using harness = await inPhase(kind, "InProgress");
    harness.cancel(kind, "data");
    await harness.settle();
    expect(harness.phase(kind, "data")).toBe("Canceling");
    await harness.advance(30_000);
    const status = harness.get(kind, "data")?.status;
    expect(status).toMatchObject({ phase: "Canceled" });
    expect(status?.snapshotID).toBeUndefined();
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("row 35: the data path was faster: Completed", async () => {
    await using harness = await inPhase(kind, "InProgress");
    harness.cluster.mover.ignoresCancel = true;
    harness.cancel(kind, "data");
    await harness.settle();
    expect(harness.phase(kind, "data")).toBe("Canceling");
    harness.cluster.mover.ticks = 1;
    await harness.until(() => harness.phase(kind, "data") !== "Canceling");
    expect(harness.phase(kind, "data")).toBe("Completed");
  });

  it("2.1: a mover that does not stop is removed after 5 minutes", async () => {
    await using harness = await inPhase(kind, "InProgress");
    harness.cluster.mover.ignoresCancel = true;
    harness.cancel(kind, "data");
    await harness.advance(4 * minute, 30_000);
    expect(harness.phase(kind, "data")).toBe("Canceling");
    await harness.advance(2 * minute, 30_000);
    expect(harness.phase(kind, "data")).toBe("Canceled");
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("row 36: a final phase stays, whatever is asked", async () => {
    await using harness = await inPhase(kind, "InProgress");
    harness.cluster.mover.ticks = 1;
    await harness.until(() => harness.phase(kind, "data") === "Completed");
    harness.cancel(kind, "data");
    const before = harness.get(kind, "data");
    await harness.advance(10 * minute, minute);
    expect(harness.get(kind, "data")).toEqual(before);
  });

  it.each(phases)("row 37: deleted in %s: canceled, cleaned up, gone", async (phase) => {
    await using harness = await inPhase(kind, phase);
    const seen = new Set<string>();
    const resource = kind === "DataUpload" ? "datauploads" : "datadownloads";
    harness.cluster.api.watch(`${resource}.velero.io`, ({ object }) => {
      if (object.spec.cancel) seen.add(object.status?.message);
    });
    harness.cluster.api.delete(`${resource}.velero.io`, operator, "data");
    await harness.until(() => harness.get(kind, "data") === undefined, 10 * minute);
    await harness.advance(minute);
    // A snapshot that no DataUpload took over stays its Backup's.
    const before = kind === "DataUpload" && phase === "New";
    if (!before) expect(harness.cluster.leftovers()).toEqual([]);
    if (!before)
      expect([...seen]).toContain(`Cancel ${kind.toLowerCase()} because it is being deleted`);
  });

  it("row 40: never prepared: Failed at 30 minutes with a diagnosis, nothing left", async () => {
    await using harness = await inPhase(kind, "Accepted");
    await harness.advance(29 * minute, minute);
    expect(harness.phase(kind, "data")).toBe("Accepted");
    await harness.advance(4 * minute, 30_000);
    const what = kind === "DataUpload" ? "upload" : "download";
    expect(harness.get(kind, "data")?.status).toMatchObject({
      phase: "Failed",
      message: expect.stringMatching(
        new RegExp(`^timeout on preparing data ${what}: .*pod velero/data`, "i"),
      ),
    });
    expect(harness.cluster.leftovers()).toEqual([]);
    expect(harness.agent("a").told.events.join("\n")).toContain("data Warning PrepareTimeout");
  });

  it("row 41: a node that appears after 10 minutes is early enough", async () => {
    await using harness = await inPhase(kind, "Accepted");
    await harness.advance(10 * minute, minute);
    harness.cluster.mover.ticks = 1;
    harness.cluster.schedule = () => "a";
    await harness.until(() => harness.phase(kind, "data") === "Completed");
  });

  it("row 42: an image that cannot be pulled: canceled with the container's words", async () => {
    await using harness = await inPhase(kind, "Accepted");
    harness.cluster.podStatus = () => ({
      phase: "Pending",
      containerStatuses: [
        { name: "m", state: { waiting: { reason: "ErrImageNeverPull", message: "no image" } } },
      ],
    });
    harness.cluster.schedule = () => "a";
    await harness.advance(3 * minute, 30_000);
    expect(harness.get(kind, "data")?.status).toMatchObject({
      phase: "Canceled",
      message: expect.stringContaining("ErrImageNeverPull"),
    });
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("row 43: a pod that fails before it was seen running: Canceled", async () => {
    await using harness = await inPhase(kind, "Accepted");
    harness.cluster.podStatus = () => ({ phase: "Failed", message: "out of devices" });
    harness.cluster.schedule = () => "a";
    await harness.advance(3 * minute, 30_000);
    expect(harness.get(kind, "data")?.status).toMatchObject({
      phase: "Canceled",
      message: expect.stringMatching(/Pod is in abnormal state \[Failed\].*out of devices/),
    });
    expect(harness.cluster.leftovers()).toEqual([]);
  });

  it("2.1: the agent of an abnormal pod asks for the cancel, the one in charge carries it out", async () => {
    await using harness = await Harness.open(["a", "b"], { agents: ["a"] });
    const { cluster } = harness;
    cluster.schedule = () => "b";
    cluster.podStatus = () => ({ phase: "Pending" });
    if (kind === "DataUpload") cluster.source("data");
    else cluster.target("data");
    if (kind === "DataUpload") cluster.upload("data");
    else cluster.download("data");
    await harness.until(() => cluster.pod("data")?.spec.nodeName === "b");
    harness.startAgent("b");
    cluster.podStatus = () => ({ phase: "Failed", message: "x" });
    await harness.advance(2 * minute, 10_000);
    expect(harness.get(kind, "data")?.status).toMatchObject({ phase: "Canceled" });
    expect(cluster.leftovers()).toEqual([]);
  });
});

describe("a DataUpload", () => {
  it("row 38: a snapshot that is never ready: Failed in time, with the driver's words", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.source("data");
    cluster.setStatus("volumesnapshots.snapshot.storage.k8s.io", app, "velero-data", {
      readyToUse: false,
      error: { message: "the array is on fire" },
    });
    cluster.upload("data");
    await harness.advance(35 * minute, minute);
    expect(harness.get("DataUpload", "data")?.status).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("the array is on fire"),
    });
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 39: a snapshot with an error that becomes ready: goes on", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    const resource = "volumesnapshots.snapshot.storage.k8s.io";
    cluster.source("data");
    const error = { message: "busy" };
    cluster.setStatus(resource, app, "velero-data", { readyToUse: false, error });
    cluster.upload("data");
    await harness.advance(5 * minute, minute);
    cluster.setStatus(resource, app, "velero-data", { readyToUse: true, error: undefined });
    await harness.until(() => harness.phase("DataUpload", "data") === "Completed");
    expect(cluster.leftovers()).toEqual([]);
  });

  it("row 44: a snapshot that cannot be deleted: Failed, the finalizers named", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.source("data");
    const resource = "volumesnapshots.snapshot.storage.k8s.io";
    cluster.api.modify(resource, app, "velero-data", ({ metadata }) => {
      metadata.finalizers = ["example.com/stuck"];
    });
    cluster.upload("data");
    await harness.advance(15 * minute, 30_000);
    expect(harness.get("DataUpload", "data")?.status).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("example.com/stuck"),
    });
  });

  it("a claim that is never bound: Failed at 30 minutes (row 40)", async () => {
    await using harness = await Harness.open();
    const { cluster } = harness;
    cluster.source("data");
    cluster.provisions = false;
    cluster.upload("data");
    await harness.advance(33 * minute, minute);
    expect(harness.get("DataUpload", "data")?.status).toMatchObject({
      phase: "Failed",
      message: expect.stringContaining("timeout on preparing data upload"),
    });
    expect(cluster.leftovers()).toEqual([]);
  });
});
