// The claims of exposers: what they take over, what the configuration changes, how large they are.
import type { PersistentVolumeClaim } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { backupClaim, cacheClaim, restoreClaim } from "../../src/expose/claims.ts";
import { namespace, owner } from "./samples.ts";

describe("the claim of a volume snapshot", () => {
  const input = {
    namespace,
    owner,
    sourceStorageClass: "fast",
    volumeMode: "Filesystem",
    size: "5Gi",
    settings: undefined,
  } as const;

  it("row 11: is named like the DataUpload and owned by it", () => {
    const { metadata, spec } = backupClaim(input);
    expect(metadata).toEqual({ name: "backup-1", namespace, ownerReferences: [owner] });
    expect(spec).toEqual({
      accessModes: ["ReadWriteOnce"],
      storageClassName: "fast",
      volumeMode: "Filesystem",
      dataSource: {
        apiGroup: "snapshot.storage.k8s.io",
        kind: "VolumeSnapshot",
        name: "backup-1",
      },
      resources: { requests: { storage: "5Gi" } },
    });
  });

  it("row 16: follows the configuration of the source's class", () => {
    const settings = { storageClass: "shallow", readOnly: true, annotations: { a: "b" } };
    const { metadata, spec } = backupClaim({ ...input, volumeMode: "Block", settings });
    expect(metadata.annotations).toEqual({ a: "b" });
    expect(spec.accessModes).toEqual(["ReadOnlyMany"]);
    expect(spec.storageClassName).toBe("shallow");
    expect(spec.volumeMode).toBe("Block");
  });
});

describe("the claim beside a target", () => {
  const target: PersistentVolumeClaim = {
    metadata: {
      name: "db",
      namespace: "shop",
      labels: { app: "db" },
      annotations: {
        note: "kept",
        "volume.kubernetes.io/selected-node": "n1",
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
      },
    },
    spec: {
      accessModes: ["ReadWriteMany"],
      storageClassName: "fast",
      volumeMode: "Block",
      resources: { requests: { storage: "1Gi" } },
      selector: { matchLabels: { "velero.io/dynamic-pv-restore": "shop.db.abcde" } },
      dataSource: { kind: "PersistentVolumeClaim", name: "other" },
    },
  };

  it("is like it, without its selector, source and binding", () => {
    const { metadata, spec } = restoreClaim({ namespace, owner, target, selectedNode: undefined });
    expect(metadata).toEqual({
      name: "backup-1",
      namespace,
      labels: { app: "db" },
      annotations: { note: "kept", "volume.kubernetes.io/selected-node": "n1" },
      ownerReferences: [owner],
    });
    const { selector, dataSource, ...rest } = target.spec;
    expect(spec).toEqual(rest);
  });

  it("row 81: has nothing but the node, once that is chosen", () => {
    const { metadata } = restoreClaim({ namespace, owner, target, selectedNode: "n2" });
    expect(metadata.labels).toBeUndefined();
    expect(metadata.annotations).toEqual({ "volume.kubernetes.io/selected-node": "n2" });
  });
});

describe("the claim of a cache", () => {
  const input = {
    namespace,
    owner,
    settings: { storageClass: "local", residentThresholdInMB: 100 },
    limitMB: 5000,
    snapshotSize: undefined,
    selectedNode: undefined,
  };

  it("is a fifth larger than the limit, in whole GiB", () => {
    expect(cacheClaim(input)?.spec.resources?.requests).toEqual({ storage: "6Gi" });
    expect(cacheClaim({ ...input, limitMB: 1024 })?.spec.resources?.requests?.["storage"]).toBe(
      "2Gi",
    );
    expect(cacheClaim(input)?.metadata.name).toBe("backup-1-cache");
  });

  it("is left out for snapshots that are known to be small", () => {
    const mebibyte = 2 ** 20;
    expect(cacheClaim({ ...input, snapshotSize: 99 * mebibyte })).toBeUndefined();
    expect(cacheClaim({ ...input, snapshotSize: 100 * mebibyte })).toBeDefined();
    expect(cacheClaim({ ...input, snapshotSize: 0 })).toBeDefined();
  });
});
