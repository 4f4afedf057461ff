/** Volume policies: which rule fits which volume, and documents that are none. */
import type { ConfigMap, PersistentVolume, PersistentVolumeClaim } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  type PolicyVolume,
  readVolumePolicy,
  volumePolicyIn,
} from "../../src/backup/volume-policy.ts";

const claim: PersistentVolumeClaim = {
  metadata: { name: "data", namespace: "shop", labels: { tier: "db", app: "shop" } },
  spec: {},
  status: { phase: "Bound" },
};
const csi = { driver: "csi.a", volumeHandle: "h", volumeAttributes: { kind: "fast" } };
const volume = (spec: object): PersistentVolume => ({
  metadata: { name: "pv" },
  spec: { capacity: { storage: "10Gi" }, storageClassName: "gold", ...spec },
});
const fits = (conditions: object, seen: PolicyVolume): boolean => {
  const action = { type: "snapshot" };
  return (
    volumePolicyIn({ version: "v1", volumePolicies: [{ conditions, action }] })(seen) !== undefined
  );
};

describe("a condition", () => {
  const seen = { volume: volume({ csi }), claim };
  it.each([
    [{}, true],
    [{ capacity: "10Gi,10Gi" }, true],
    [{ capacity: "0,9Gi" }, false],
    [{ capacity: ",20Gi" }, true],
    [{ capacity: "11Gi," }, false],
    [{ storageClass: ["silver", "gold"] }, true],
    [{ storageClass: ["silver"] }, false],
    [{ csi: {} }, true],
    [{ csi: { driver: "csi.a" } }, true],
    [{ csi: { driver: "csi.b" } }, false],
    [{ csi: { driver: "csi.a", volumeAttributes: { kind: "fast" } } }, true],
    [{ csi: { driver: "csi.a", volumeAttributes: { kind: "slow" } } }, false],
    [{ nfs: {} }, false],
    [{ volumeTypes: ["hostPath", "csi"] }, true],
    [{ volumeTypes: ["emptyDir"] }, false],
    [{ pvcLabels: { tier: "db" } }, true],
    [{ pvcLabels: { tier: "db", app: "other" } }, false],
    [{ pvcPhase: ["Bound"] }, true],
    [{ pvcPhase: ["Pending"] }, false],
    [{ storageClass: ["gold"], capacity: "11Gi," }, false],
  ])("%j: %s", (conditions, expected) => {
    expect(fits(conditions, seen)).toBe(expected);
  });

  const nfs = { volume: volume({ nfs: { server: "s", path: "/p" } }) };
  it.each([
    [{ nfs: {} }, true],
    [{ nfs: { server: "s" } }, true],
    [{ nfs: { path: "/p" } }, true],
    [{ nfs: { server: "x", path: "/p" } }, false],
    [{ csi: {} }, false],
  ])("of an NFS volume %j: %s", (conditions, expected) => {
    expect(fits(conditions, nfs)).toBe(expected);
  });

  it("also looks at volumes that only their pod has", () => {
    expect(fits({ volumeTypes: ["emptyDir"] }, { podVolume: { name: "v", emptyDir: {} } })).toBe(
      true,
    );
  });
});

it("the first rule that fits decides", async () => {
  const text = `
version: v1
volumePolicies:
- conditions: {capacity: "100Gi,"}
  action: {type: skip}
- conditions:
    storageClass: [gold]
  action:
    type: fs-backup
- conditions: {}
  action: {type: snapshot}
`;
  const policy = await readVolumePolicy({ metadata: { name: "p" }, data: { "p.yaml": text } });
  if (typeof policy !== "function") throw new Error(policy.problem);
  expect(policy({ volume: volume({}) })).toBe("fs-backup");
  expect(policy({ volume: volume({ storageClassName: "x" }) })).toBe("snapshot");
  expect(policy({ volume: volume({ capacity: { storage: "1Ti" } }) })).toBe("skip");
});

it.each([
  [{}, "illegal resource policies velero/p configmap: it must have one key"],
  [{ a: "version: v2" }, "incompatible version number v2 with supported version v1"],
  [{ a: "- x" }, "the document must be a map"],
  [{ a: "version: v1\nvolumePolicies: [{action: {type: move}}]" }, "invalid action type move"],
  [
    { a: "version: v1\nvolumePolicies: [{action: {type: skip}, conditions: {size: 1}}]" },
    "field size not found in conditions",
  ],
  [
    { a: "version: v1\nvolumePolicies: [{action: {type: skip}, conditions: {capacity: 1Gi}}]" },
    "wrong format of Capacity 1Gi",
  ],
  [
    { a: "version: v1\nincludeExcludePolicy: {}" },
    "includeExcludePolicy of the document is not supported",
  ],
])("%j is refused", async (data, text) => {
  const map: ConfigMap = { metadata: { name: "p", namespace: "velero" }, data };
  expect(await readVolumePolicy(map)).toEqual({ problem: expect.stringContaining(text) });
});
