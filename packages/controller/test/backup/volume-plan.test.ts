/** Which way each volume goes: by its files, by a snapshot, or not at all. */
import { annotations, type BackupSpec, type PersistentVolumeClaim, type Pod } from "@dm/crds";
import { expect, it } from "vitest";
import { planVolumes } from "../../src/backup/volume-plan.ts";
import type { VolumeAction } from "../../src/backup/volume-policy.ts";

const pod = (name: string, claims: string[], more: Partial<Pod> = {}): Pod => ({
  metadata: { name, namespace: "shop", ...more.metadata },
  spec: {
    nodeName: "n",
    containers: [
      {
        name: "c",
        image: "i",
        volumeMounts: claims.map((one) => ({ name: one, mountPath: `/${one}` })),
      },
    ],
    volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
  },
  status: { phase: "Running", ...more.status },
});
const claim = (name: string): PersistentVolumeClaim => ({
  metadata: { name, namespace: "shop" },
  spec: {},
});

function plan(
  spec: BackupSpec,
  pods: Pod[],
  names: string[],
  actions: Record<string, VolumeAction> = {},
) {
  const found = planVolumes(
    spec,
    pods,
    names.map((name) => ({ claim: claim(name) })),
    (seen) => actions[seen.claim?.metadata.name ?? ""],
  );
  return {
    due: [...found.due].map(
      ([one, due]) => `${one.metadata.name}: ${due.map(({ volume }) => volume.name).join(" ")}`,
    ),
    claims: [...found.claims].map(
      ([one, way]) => `${one.metadata.name} ${way.do === "skip" ? way.reason : way.do}`,
    ),
    skipped: found.skipped.map(({ reason }) => reason),
  };
}

it("snapshots unless none are wanted", () => {
  expect(plan({}, [pod("a", ["x"])], ["x"])).toEqual({
    due: ["a: "],
    claims: ["x snapshot"],
    skipped: [],
  });
  expect(plan({ snapshotVolumes: false }, [], ["x"]).claims).toEqual(["x no snapshots wanted"]);
});

it("row 94: by files, but for what a pod opts out, which is a snapshot", () => {
  const metadata = { annotations: { [annotations.backupVolumesExcludes]: "y" } };
  const all = { defaultVolumesToFsBackup: true };
  expect(plan(all, [pod("a", ["x", "y"], { metadata })], ["x", "y", "z"])).toEqual({
    due: ["a: x"],
    claims: ["x files", "y snapshot", "z snapshot"],
    skipped: [],
  });
});

it("a claim that pods share is taken once", () => {
  const all = { defaultVolumesToFsBackup: true };
  expect(plan(all, [pod("a", ["x"]), pod("b", ["x", "y"])], ["x", "y"]).due).toEqual([
    "a: x",
    "b: y",
  ]);
});

it("files that cannot be reached are not silently taken another way", () => {
  const all = { defaultVolumesToFsBackup: true };
  const found = plan(all, [pod("a", ["x"], { status: { phase: "Pending" } })], ["x"]);
  expect(found.claims).toEqual(["x no running pod mounts it, and its files were to be backed up"]);
  expect(found.skipped).toEqual([expect.stringContaining("pod is not running")]);
});

it("a policy decides before everything else", () => {
  const actions = {
    a: "skip",
    b: "snapshot",
    c: "fs-backup",
    d: "fs-backup",
    e: "custom",
  } as const;
  const found = plan(
    { snapshotVolumes: false },
    [pod("p", ["a", "b", "c"])],
    ["a", "b", "c", "d", "e", "f"],
    actions,
  );
  expect(found.due).toEqual(["p: c"]);
  expect(found.claims).toEqual([
    "a skipped due to resource policy",
    "b snapshot",
    "c files",
    "d no running pod mounts it, and its files were to be backed up",
    "e skipped due to resource policy",
    "f no snapshots wanted",
  ]);
});
