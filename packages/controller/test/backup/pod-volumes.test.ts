/** File system backups in Backups: which volumes, what comes of them, and that a volume goes one way only. */
import { annotations, type PodVolumeBackup } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  decodeGzipJson,
  decodeItems,
  type Results,
  type VolumeInfo,
} from "../../src/bucket/backup-files.ts";
import { kinds, operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
  world.claim("shop", "data");
  world.claim("shop", "logs");
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const json = <T>(name: string): T =>
  decodeGzipJson(
    world.blobs.get(`default/backups/nightly/nightly-${name}.gz`) ?? new Uint8Array(),
    name,
  ) as T;
const run = async (spec: object = {}, metadata: object = {}) => {
  world.backup("nightly", spec, metadata);
  return (await world.untilEnd("backups", "nightly")).status;
};
const all = { defaultVolumesToFsBackup: true };
const excludes = (names: string) => ({
  metadata: { annotations: { [annotations.backupVolumesExcludes]: names } },
});

describe("a Backup of files", () => {
  it("row 94: takes all volumes of pods by their files but the one opted out, which is a DataUpload", async () => {
    const volumes = [
      { name: "scratch", emptyDir: {} },
      { name: "token", secret: {} },
    ];
    world.pod("shop", "web", ["data", "logs"], { ...excludes("logs"), volumes });
    expect(await run(all)).toMatchObject({ phase: "Completed", backupItemOperationsCompleted: 1 });
    const made = world.list("podBackups").map(({ spec }) => spec.volume);
    expect(made.sort()).toEqual(["data", "scratch"]);
    expect(world.list("uploads").map(({ spec }) => spec.sourcePVC)).toEqual(["logs"]);
    const written = json<PodVolumeBackup[]>("podvolumebackups.json");
    expect(written.map(({ spec, status }) => [spec.volume, status?.phase]).sort()).toEqual([
      ["data", "Completed"],
      ["scratch", "Completed"],
    ]);
    expect(Object.keys(written[0] ?? {})).toEqual(["metadata", "spec", "status"]);
    const infos = json<VolumeInfo[]>("volumeinfo.json").map((info) => [
      info.pvcName,
      info.backupMethod,
      info.pvbInfo?.["volumeName"],
    ]);
    expect(infos).toEqual([
      ["data", "PodVolumeBackup", "data"],
      ["logs", "CSISnapshot", undefined],
      [undefined, "PodVolumeBackup", "scratch"],
    ]);
  });

  it("takes what pods opt in, and holds them still until it is done", async () => {
    const metadata = {
      annotations: {
        [annotations.backupVolumes]: "data",
        "pre.hook.backup.velero.io/command": "freeze",
        "post.hook.backup.velero.io/command": "thaw",
      },
    };
    world.pod("shop", "web", ["data"], { metadata });
    const phases: (string | undefined)[] = [];
    world.onExec = () => {
      phases.push(world.list("podBackups")[0]?.status?.phase);
      return {};
    };
    expect(await run()).toMatchObject({ phase: "Completed" });
    expect(world.executed).toEqual(["shop/web main: freeze", "shop/web main: thaw"]);
    expect(phases).toEqual([undefined, "Completed"]);
  });

  it("of pods only: without their claims, and without snapshots", async () => {
    world.pod("shop", "web", ["data"]);
    expect(await run({ ...all, includedResources: ["pods"] })).toMatchObject({
      phase: "Completed",
    });
    expect(world.list("podBackups").map(({ spec }) => spec.volume)).toEqual(["data"]);
    const tarball = world.blobs.get("default/backups/nightly/nightly.tar.gz") ?? new Uint8Array();
    expect(decodeItems(tarball, "tarball").map(({ resource }) => resource)).toEqual(["pods"]);
    expect(world.list("uploads")).toEqual([]);
  });

  it("that fail are errors of their pods", async () => {
    world.pod("shop", "web", ["data"]);
    world.movements.set("data", "fail");
    expect(await run(all)).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(json<Results>("results").errors.namespaces).toEqual({
      shop: ["pods/web: volume data: data path backup failed: cannot read /x"],
    });
    expect(json<VolumeInfo[]>("volumeinfo.json")[0]).toMatchObject({ result: "failed" });
  });

  it("that do not end in their time are cancelled", async () => {
    world.pod("shop", "web", ["data"]);
    world.movements.set("data", "hang");
    const timeout = { annotations: { [annotations.podVolumeTimeout]: "30m" } };
    expect(await run(all, timeout)).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(json<Results>("results").errors.namespaces?.["shop"]).toEqual([
      "pods/web: volume data: timed out waiting for all PodVolumeBackups to complete",
    ]);
    expect(world.list("podBackups").map(({ spec }) => spec.cancel)).toEqual([true]);
  });

  it("nothing waits for a node without a node agent", async () => {
    world.pod("shop", "web", ["data"]);
    world.api.delete(kinds.pods, operator, "node-agent-node-1");
    expect(await run(all)).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(json<Results>("results").errors.namespaces?.["shop"]).toEqual([
      "pods/web: volume data: no node agent is running in node node-1",
    ]);
    expect(world.list("podBackups")).toEqual([]);
  });

  it("a volume that cannot be reached is a warning, with its reason", async () => {
    world.pod("shop", "web", ["data"], { spec: { containers: [{ name: "main", image: "i" }] } });
    expect(await run(all)).toMatchObject({ phase: "Completed", warnings: 1 });
    expect(json<Results>("results").warnings.namespaces?.["shop"]).toEqual([
      "pods/web: volume data is declared in pod shop/web but not mounted by any container, skipping",
    ]);
  });

  it("goes by the volume policy that the Backup names", async () => {
    world.claim("shop", "big", { volume: { capacity: { storage: "1Ti" } } });
    world.pod("shop", "web", ["data", "logs", "big"]);
    world.api.modify(kinds.claims, "shop", "data", ({ metadata }) => {
      metadata.labels = { way: "files" };
    });
    const policy = `
version: v1
volumePolicies:
- conditions: {capacity: "100Gi,"}
  action: {type: skip}
- conditions: {pvcLabels: {way: files}}
  action: {type: fs-backup}
`;
    world.api.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "policy", namespace: operator },
      data: { policy },
    } as never);
    await run({ resourcePolicy: { kind: "configmap", name: "policy" } });
    expect(world.list("podBackups").map(({ spec }) => spec.volume)).toEqual(["data"]);
    expect(world.list("uploads").map(({ spec }) => spec.sourcePVC)).toEqual(["logs"]);
    const big = json<VolumeInfo[]>("volumeinfo.json").find(({ pvcName }) => pvcName === "big");
    expect(big).toMatchObject({ skipped: true, skippedReason: "skipped due to resource policy" });
  });

  it("a policy that is missing or wrong is refused at the start", async () => {
    const resourcePolicy = { kind: "configmap", name: "none" };
    expect(await run({ resourcePolicy })).toMatchObject({
      phase: "FailedValidation",
      validationErrors: [expect.stringContaining("velero/none ConfigMap: it does not exist")],
    });
  });

  it("row 111: Kopia in place of restic, with one warning and one Event", async () => {
    world.settings.uploaderType = "restic";
    const events: unknown[] = [];
    world.events = {
      record: (_resource, _object, event) => events.push(event),
      flush: async () => {},
    };
    world.pod("shop", "web", ["data"]);
    expect(await run(all)).toMatchObject({ phase: "Completed", warnings: 1 });
    expect(json<Results>("results").warnings.cluster).toEqual([
      "uploaderType restic is deprecated: Kopia is used in its place",
    ]);
    expect(events).toEqual([expect.objectContaining({ reason: "ResticDeprecated" })]);
    expect(world.list("podBackups")[0]?.spec.uploaderType).toBe("kopia");
    const items = decodeItems(
      world.blobs.get("default/backups/nightly/nightly.tar.gz") ?? new Uint8Array(),
      "tarball",
    );
    const claim = items.find(({ object }) => object.metadata.name === "data")?.object;
    expect(claim?.metadata.annotations?.[annotations.dataUploadName]).toBeUndefined();
  });
});
