/** What becomes of volumes and where the data of claims comes from, as backups of different methods and versions tell. */
import { annotations, type PersistentVolumeClaim, type Restore } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { AnyObject } from "../../src/restore/actions/action.ts";
import { planVolumes, type Volumes } from "../../src/restore/volumes.ts";
import { itemOf, object } from "./objects.ts";

const volume = (policy: string, claim?: string): AnyObject =>
  object("v1", "PersistentVolume", "pv", {
    spec: {
      persistentVolumeReclaimPolicy: policy,
      ...(claim && { claimRef: { name: claim, namespace: "shop" } }),
    },
  });
const claim = (
  notes: Record<string, string> = {},
  spec: object = { volumeName: "pv" },
): AnyObject =>
  object(
    "v1",
    "PersistentVolumeClaim",
    "data",
    { spec, status: { phase: "Bound" } },
    { annotations: notes },
  );
const moved = { [annotations.dataUploadName]: "velero/u" };
const snapshotted = { [annotations.volumeSnapshotName]: "s" };
const upload = (status: object, source: object = {}): AnyObject =>
  object(
    "velero.io/v2alpha1",
    "DataUpload",
    "u",
    { spec: { sourceNamespace: "shop", sourcePVC: "data", ...source }, status },
    { namespace: "velero" },
  );
const podVolume = {
  metadata: { annotations: { [annotations.pvcName]: "data" } },
  spec: { pod: { name: "p", namespace: "shop" }, volume: "v" },
};

function plan(
  objects: readonly AnyObject[],
  given: { infos?: object[]; spec?: object; inPods?: object[] } = {},
): Volumes {
  const contents = { backup: {}, items: objects.map(itemOf), volumes: given.infos ?? [] };
  const restore = { metadata: { name: "r" }, spec: given.spec } as Restore;
  return planVolumes(contents as never, restore, (given.inPods ?? []) as never, "default");
}

describe("a volume", () => {
  it.each([
    ["its data was moved", [{ pvName: "pv", backupMethod: "CSISnapshot" }], "Retain", "provision"],
    [
      "its files were backed up",
      [{ pvName: "pv", backupMethod: "PodVolumeBackup" }],
      "Retain",
      "provision",
    ],
    ["it was skipped and is retained", [{ pvName: "pv", skipped: true }], "Retain", "keep"],
    [
      "it was skipped and goes with its claim",
      [{ pvName: "pv", skipped: true }],
      "Delete",
      "provision",
    ],
    [
      "its snapshot is of a plugin",
      [{ pvName: "pv", backupMethod: "NativeSnapshot" }],
      "Delete",
      "refuse",
    ],
  ])("%s", (_when, infos, policy, fate) => {
    expect(plan([volume(policy, "data"), claim()], { infos }).fateOf("pv").do).toBe(fate);
  });

  it("of a Velero that does not say: what the claim has counts", () => {
    const fate = (objects: AnyObject[], inPods: object[] = []): string =>
      plan(objects, { inPods }).fateOf("pv").do;
    expect(fate([volume("Retain", "data"), claim(moved)])).toBe("provision");
    expect(fate([volume("Retain", "data"), claim(snapshotted)])).toBe("provision");
    expect(fate([volume("Retain", "data"), claim()], [podVolume])).toBe("provision");
    expect(fate([volume("Retain", "data"), claim()])).toBe("keep");
    expect(fate([volume("Delete", "data"), claim()])).toBe("provision");
    expect(fate([volume("Retain")])).toBe("keep");
  });
});

describe("the data of a claim", () => {
  const data = (objects: AnyObject[], given?: Parameters<typeof plan>[1]) =>
    plan(objects, given).dataOf(
      objects.find(
        ({ kind }) => kind === "PersistentVolumeClaim",
      ) as unknown as PersistentVolumeClaim,
    );

  it("that was moved lies in the repository, where its DataUpload says", () => {
    const done = upload({
      phase: "Completed",
      snapshotID: "k",
      nodeOS: "linux",
      progress: { totalBytes: 9 },
    });
    expect(data([claim(moved), done])).toEqual({
      from: "repository",
      result: {
        backupStorageLocation: "default",
        sourceNamespace: "shop",
        snapshotID: "k",
        nodeOS: "linux",
        snapshotSize: 9,
      },
    });
    for (const lost of [[], [upload({ phase: "Failed" })], [upload({ phase: "Completed" })]])
      expect(data([claim(moved), ...lost]).from).toBe("lost");
  });

  it.each([{ sourceNamespace: "vault" }, { sourcePVC: "keys" }])(
    "is never that of another one, whatever DataUpload the claim names: %j",
    (source) => {
      const others = upload({ phase: "Completed", snapshotID: "k" }, source);
      expect(data([claim(moved), others])).toEqual({
        from: "lost",
        error: "its DataUpload velero/u is that of another claim",
      });
    },
  );

  it("lies in the storage, when the backup kept the snapshot", () => {
    const snapshot = object("snapshot.storage.k8s.io/v1", "VolumeSnapshot", "s");
    expect(data([claim(snapshotted), snapshot])).toEqual({ from: "snapshot", snapshot: "s" });
    expect(data([claim(snapshotted)]).from).toBe("lost");
  });

  it("comes with a pod, or is still in its volume", () => {
    expect(data([claim()], { inPods: [podVolume] })).toEqual({ from: "pod volume" });
    expect(data([claim(), volume("Retain", "data")])).toEqual({ from: "volume" });
  });

  it("is nowhere: a warning where there was some", () => {
    const warned = {
      from: "nowhere",
      warning: "the backup has no data of it: it is restored empty",
    };
    expect(data([claim()])).toEqual(warned);
    expect(data([claim(), volume("Delete", "data")])).toEqual(warned);
    const unbound = { ...claim({}, {}), status: { phase: "Pending" } };
    expect(data([unbound])).toEqual({ from: "nowhere", warning: undefined });
  });

  it("row 101: is not asked for", () => {
    expect(data([claim(moved)], { spec: { restorePVs: false } })).toEqual({ from: "nowhere" });
  });
});
