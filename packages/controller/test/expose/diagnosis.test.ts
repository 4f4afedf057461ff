// What people are told about an exposure that does not come about: a line for every object, present or not.
import type { KubeEvent, Pod } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { csiSnapshotExposer } from "../../src/expose/csi-snapshot-exposer.ts";
import { diagnosisText, type SeenExposure } from "../../src/expose/diagnosis.ts";
import { genericRestoreExposer } from "../../src/expose/generic-restore-exposer.ts";
import { namespace } from "./samples.ts";
import { createWorld, downloadOf, drive, uploadOf, type World } from "./world.ts";

const nothing: SeenExposure = {
  kind: "DataUpload",
  name: "velero/backup-1",
  pod: undefined,
  claim: undefined,
  volume: undefined,
  snapshot: undefined,
  content: undefined,
  warnings: [],
  nodeAgentRuns: true,
};

describe("the text", () => {
  it("tells what is missing", () => {
    expect(diagnosisText(nothing).split("\n")).toEqual([
      "begin diagnose CSI exposer",
      "Pod velero/backup-1 is not there",
      "PVC velero/backup-1 is not there",
      "VS velero/backup-1 is not there",
      "VSC of velero/backup-1 is not there",
      "end diagnose CSI exposer",
    ]);
  });

  it("tells conditions, waiting containers, warnings and a node without node agent", () => {
    const pod: Pod = {
      metadata: { name: "restore-1", namespace },
      spec: { containers: [], nodeName: "n1" },
      status: {
        phase: "Pending",
        message: "m",
        conditions: [
          { type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/3 nodes" },
        ],
        containerStatuses: [
          {
            name: "c",
            image: "",
            imageID: "",
            ready: false,
            restartCount: 0,
            state: { waiting: { reason: "CreateContainerError", message: "no" } },
          },
        ],
      },
    };
    const warning = {
      metadata: {},
      involvedObject: { kind: "Pod", name: "restore-1" },
      reason: "FailedScheduling",
      message: "0/3 nodes are available",
    } as KubeEvent;
    const seen = { ...nothing, kind: "DataDownload", name: "velero/restore-1", pod } as const;
    expect(
      diagnosisText({ ...seen, warnings: [warning], nodeAgentRuns: false }).split("\n"),
    ).toEqual([
      "begin diagnose restore exposer",
      "Pod velero/restore-1, phase Pending, node name n1, message m",
      "Pod condition PodScheduled, status False, reason Unschedulable, message 0/3 nodes",
      "Container c waits, reason CreateContainerError, message no",
      "node-agent is not running in node n1",
      "PVC velero/restore-1 is not there",
      "Pod restore-1 event reason FailedScheduling, message 0/3 nodes are available",
      "end diagnose restore exposer",
    ]);
  });
});

describe("on a cluster", () => {
  let world: World;
  beforeEach(async () => {
    world = await createWorld();
  });
  afterEach(() => world[Symbol.asyncDispose]());

  it("reads every object of a backup, and warnings about them alone", async () => {
    const exposer = csiSnapshotExposer(world.context, uploadOf(world));
    await drive(world, exposer.expose);
    const { uid } = world.api.get("pods", namespace, "backup-1")?.metadata ?? {};
    for (const [type, about, reason] of [
      ["Warning", uid, "FailedMount"],
      ["Normal", uid, "Scheduled"],
      ["Warning", "another", "Other"],
    ])
      world.api.create("events", {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: `e-${reason}`.toLowerCase(), namespace },
        involvedObject: { kind: "Pod", name: "backup-1", namespace, uid: about },
        type,
        reason,
        message: "text",
      });
    const text = (await exposer.diagnose()).replaceAll(/pvc-[-0-9a-f]+/g, "PV-NAME");
    expect(text.split("\n")).toEqual([
      "begin diagnose CSI exposer",
      "Pod velero/backup-1, phase Running, node name node-1, message ",
      "node-agent is not running in node node-1",
      "PVC velero/backup-1, phase Bound, binding to PV-NAME",
      "PV PV-NAME, phase Bound, reason , message ",
      "VS velero/backup-1, bind to backup-1, readyToUse true, errMessage ",
      "VSC backup-1, readyToUse true, errMessage , handle snap-2",
      "Pod backup-1 event reason FailedMount, message text",
      "end diagnose CSI exposer",
    ]);
  });

  it("row 38: tells of the first snapshot too while it is waited for", async () => {
    Object.assign(world.csi.steering, { snapshotsReady: false, snapshotError: "pool is busy" });
    const exposer = csiSnapshotExposer(world.context, uploadOf(world));
    await exposer.expose();
    expect(await exposer.diagnose()).toMatch(
      /^VS shop\/velero-db-x, bind to snapcontent-[-0-9a-f]+, readyToUse false, errMessage pool is busy$/m,
    );
  });

  it("row 82: tells that nobody uses the target yet", async () => {
    const download = downloadOf(world, { claim: { storageClassName: "lazy" } });
    const exposer = genericRestoreExposer(world.context, download);
    await exposer.expose();
    expect((await exposer.diagnose()).split("\n")).toContain(
      "target PVC shop/db, phase Pending, binding to , selected node ",
    );
  });

  it("finds the node agent of the pod's node", async () => {
    const exposer = genericRestoreExposer(world.context, downloadOf(world));
    await drive(world, exposer.expose);
    world.api.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "node-agent-1", namespace, labels: { name: "node-agent" } },
      spec: { nodeName: "node-1", containers: [{ name: "node-agent", image: "dm:1" }] },
    });
    world.csi.settle();
    expect(await exposer.diagnose()).not.toContain("node-agent is not running");
  });
});
