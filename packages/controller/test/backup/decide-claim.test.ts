/** One claim of a Backup, from nothing to its DataUpload: what was seen, and what is decided; and the choice of a snapshot's class. */
import type {
  Backup,
  PersistentVolumeClaim,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from "@dm/crds";
import { describe, expect, it } from "vitest";
import { decideClaim, type SeenClaim } from "../../src/backup/decide-claim.ts";
import { chooseSnapshotClass } from "../../src/backup/snapshot-class.ts";

const now = new Date("2026-11-22T10:10:00Z");
const claim: PersistentVolumeClaim = {
  metadata: { name: "data", namespace: "shop", uid: "c" },
  spec: { storageClassName: "csi", volumeName: "pv" },
  status: { phase: "Bound" },
};
const volume = {
  metadata: { name: "pv" },
  spec: { csi: { driver: "csi.test", volumeHandle: "h" } },
};
const snapshot: VolumeSnapshot = {
  metadata: { name: "vs", namespace: "shop", creationTimestamp: "2026-11-22T10:05:00Z" },
  spec: { source: { persistentVolumeClaimName: "data" } },
};
const content = { status: { snapshotHandle: "s" } } as VolumeSnapshotContent;
const backup: Backup = { metadata: { name: "b", uid: "u" }, spec: {} };
const named = (name: string, more: Partial<VolumeSnapshotClass> = {}): VolumeSnapshotClass => ({
  metadata: { name, ...more.metadata },
  driver: more.driver ?? "csi.test",
  deletionPolicy: "Delete",
});
const moving = { snapshotMoveData: true };
const decide = (seen: Partial<SeenClaim>, { spec = moving as object, timeoutMs = 600_000 } = {}) =>
  decideClaim({ claim, volume, ...seen }, { ...backup, spec }, [named("only")], { now, timeoutMs });

describe("decideClaim", () => {
  it("takes a snapshot, waits for its handle, then moves its data", () => {
    expect(decide({})).toEqual({ do: "takeSnapshot", className: "only" });
    expect(decide({ snapshot })).toEqual({ do: "wait" });
    expect(decide({ snapshot, content: { status: {} } as never })).toEqual({ do: "wait" });
    expect(decide({ snapshot, content })).toEqual({ do: "upload", snapshot, content });
  });

  it("keeps the snapshot when its data is not moved", () => {
    const seen = { snapshot, content };
    expect(decide(seen, { spec: {} })).toEqual({ do: "keep", ...seen });
  });

  it("a handle that comes late still counts", () => {
    expect(decide({ snapshot, content }, { timeoutMs: 1 })).toMatchObject({ do: "upload" });
  });

  it("gives up when the time is over, and says why the storage did not", () => {
    const text = "timed out waiting for the snapshot handle of VolumeSnapshot shop/vs";
    const late = { timeoutMs: 300_000 };
    expect(decide({ snapshot }, late)).toEqual({ do: "fail", message: text, hadSnapshot: true });
    const status = { error: { message: "full" } };
    expect(decide({ snapshot: { ...snapshot, status } }, late)).toMatchObject({
      message: `${text}: full`,
    });
    expect(decide({ snapshot, content: { status } as never }, late)).toMatchObject({
      message: `${text}: full`,
    });
    const timeless = { ...snapshot, metadata: { name: "vs", namespace: "shop" } };
    expect(decide({ snapshot: timeless })).toMatchObject({ do: "fail" });
  });

  it("waits while a snapshot of its name goes away", () => {
    const metadata = { ...snapshot.metadata, deletionTimestamp: "2026-11-22T10:06:00Z" };
    expect(decide({ snapshot: { ...snapshot, metadata }, content })).toEqual({ do: "wait" });
  });

  it.each<[string, Partial<SeenClaim>, object]>([
    [
      "no class",
      { claim: { ...claim, spec: {} } },
      { message: "Cannot snapshot PVC shop/data, PVC has no storage class." },
    ],
    [
      "not bound",
      { claim: { ...claim, status: { phase: "Lost" } } },
      { message: "PVC shop/data is in phase Lost and is not bound to a volume" },
    ],
    [
      "no volume",
      { volume: undefined },
      { message: "PersistentVolume pv of PVC shop/data does not exist" },
    ],
  ])("%s is a failure", (_name, seen, expected) => {
    expect(decide(seen)).toEqual({ do: "fail", hadSnapshot: false, ...expected });
  });

  it("skips volumes of no CSI driver", () => {
    expect(decide({ volume: { metadata: {}, spec: {} } })).toEqual({
      do: "skip",
      why: "no CSI volume",
    });
  });
});

describe("chooseSnapshotClass", () => {
  const label = { labels: { "velero.io/csi-volumesnapshot-class": "true" } };
  const standard = { annotations: { "snapshot.storage.kubernetes.io/is-default-class": "true" } };
  const all = [
    named("z-plain"),
    named("y-default", { metadata: standard }),
    named("x-label", { metadata: label }),
    named("w-label", { metadata: label }),
    named("alien", { driver: "csi.alien", metadata: label }),
  ];
  const choose = (classes: VolumeSnapshotClass[], ofClaim = {}, ofBackup = {}): string =>
    chooseSnapshotClass(
      classes,
      "csi.test",
      { metadata: { annotations: ofClaim }, spec: {} },
      { metadata: { annotations: ofBackup } },
    ).metadata.name ?? "";
  const key = "velero.io/csi-volumesnapshot-class";

  it("takes the claim's, the Backup's for the driver, one with the label, the default, the only one", () => {
    const ofBackup = { [`${key}_csi.test`]: "y-default" };
    expect(choose(all, { [key]: "z-plain" }, ofBackup)).toBe("z-plain");
    expect(choose(all, {}, ofBackup)).toBe("y-default");
    expect(choose(all)).toBe("w-label");
    expect(choose(all.slice(0, 2))).toBe("y-default");
    expect(choose(all.slice(0, 1))).toBe("z-plain");
  });

  it("passes over a class of another driver, and one that is not there", () => {
    expect(choose(all, { [key]: "alien" })).toBe("w-label");
    expect(choose(all, { [key]: "nowhere" })).toBe("w-label");
  });

  it("does not guess among several", () => {
    const code = { code: "DM_SNAPSHOT_CLASS_NOT_FOUND" };
    expect(() => choose([named("a"), named("b")])).toThrow(expect.objectContaining(code));
    expect(() => choose([])).toThrow(/failed to get VolumeSnapshotClass for provisioner csi.test/);
  });
});
