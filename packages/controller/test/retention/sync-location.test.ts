// Backups of a bucket become Backups of the cluster and go with it, once a period; what is wrong with one does not stop the others.
import { AccessError } from "@dm/core";
import { labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { syncLocation } from "../../src/retention/sync-location.ts";
import { operator, World } from "./world.ts";

const key = { namespace: operator, name: "default" };
let home: World;
let away: World;
beforeEach(async () => {
  home = await World.open();
  away = await World.open(home.bucket);
});
afterEach(async () => {
  await home[Symbol.asyncDispose]();
  await away[Symbol.asyncDispose]();
});
const sync = (world: World) => syncLocation(world.deps, key);

it("row 99: a backup of another cluster appears, with another uid and the name of the location here", async () => {
  await home.backup("nightly", {
    metadata: { labels: { team: "web" }, annotations: { note: "x" } },
  });
  home.location("archive");
  away.location("archive");
  const { requeueAfterMs } = await syncLocation(away.deps, { ...key, name: "archive" });
  expect(requeueAfterMs).toBe(60_000);
  const { metadata, spec, status } = away.get("backups", "nightly");
  expect(metadata.uid).not.toBe(home.get("backups", "nightly").metadata.uid);
  expect(metadata.labels).toEqual({ team: "web", [labels.storageLocation]: "archive" });
  expect(metadata.annotations).toEqual({ note: "x" });
  expect(spec).toMatchObject({ storageLocation: "archive", snapshotMoveData: true });
  expect(status).toMatchObject({ phase: "Completed", expiration: "2026-12-25T12:00:00Z" });
  expect(away.get("locations", "archive").status).toMatchObject({
    lastSyncedTime: "2026-11-25T12:00:00Z",
  });
});

it("row 107: a Backup that was deleted in the cluster alone comes back", async () => {
  await home.backup("nightly");
  home.api.delete("backups.velero.io", operator, "nightly");
  await sync(home);
  expect(home.names("backups")).toEqual(["nightly"]);
});

it("a Backup goes with its folder; one that was never uploaded, or is of another location, stays", async () => {
  for (const name of ["gone", "kept"]) await home.backup(name);
  for (const phase of ["InProgress", "Failed", "Deleting", "FailedValidation"])
    home.create("backups", phase.toLowerCase(), {
      spec: { storageLocation: "default" },
      status: { phase },
    });
  home.create("backups", "other", {
    spec: { storageLocation: "archive" },
    status: { phase: "Completed" },
  });
  for (const file of home.filesOf("backups/gone/")) home.bucket.files.delete(file);
  await sync(home);
  expect(home.names("backups")).toEqual([
    "deleting",
    "failed",
    "failedvalidation",
    "inprogress",
    "kept",
    "other",
  ]);
});

it("a Backup that is uploaded while the bucket is listed stays", async () => {
  home.hooks = {
    after: (what) => {
      if (what !== "folders backups") return;
      home.hooks = {};
      home.create("backups", "late", {
        spec: { storageLocation: "default" },
        status: { phase: "Completed" },
      });
    },
  };
  await sync(home);
  expect(home.names("backups")).toEqual(["late"]);
});

it("pod volume backups come with their Backup, and belong to it", async () => {
  const volume = {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: { name: "nightly-abcde", namespace: "elsewhere", uid: "u", resourceVersion: "7" },
    spec: {
      backupStorageLocation: "default",
      node: "n",
      pod: { kind: "Pod", namespace: "shop", name: "db" },
      repoIdentifier: "",
      volume: "data",
      uploaderType: "kopia",
    },
    status: { phase: "Completed", snapshotID: "k1" },
  };
  await home.backup("nightly", { podVolumeBackups: [volume, { metadata: {} }, null] });
  await sync(away);
  const backup = away.get("backups", "nightly");
  expect(backup.metadata.annotations ?? {}).toEqual({});
  const { metadata, status } = away.get("podVolumeBackups", "nightly-abcde");
  expect(metadata.namespace).toBe(operator);
  expect(metadata.labels).toEqual({
    [labels.backupName]: "nightly",
    [labels.backupUid]: backup.metadata.uid,
  });
  expect(metadata.ownerReferences).toMatchObject([{ name: "nightly", uid: backup.metadata.uid }]);
  expect(status).toEqual({ phase: "Completed", snapshotID: "k1" });
});

describe("what is wrong with one backup does not stop the others", () => {
  const broken: Readonly<Record<string, string>> = {
    "no JSON": "{",
    "no object": '"Backup"',
    "no name": '{"metadata":{}}',
    "another name": '{"metadata":{"name":"other"},"status":{"phase":"Completed"}}',
    "what the API server refuses":
      '{"metadata":{"name":"b-broken"},"spec":{"ttl":5},"status":{"phase":"Completed"}}',
    "a status that is none": '{"metadata":{"name":"b-broken"},"status":7}',
    "labels that are none":
      '{"metadata":{"name":"b-broken","labels":"x"},"status":{"phase":"Completed"}}',
  };
  it.each(Object.entries(broken))("%s", async (_, json) => {
    for (const name of ["a-first", "c-last"]) await home.backup(name);
    home.bucket.files.set("backups/b-broken/velero-backup.json", new TextEncoder().encode(json));
    await sync(away);
    expect(away.names("backups")).toEqual(["a-first", "c-last"]);
  });

  it("one that the API server lets nobody make", async () => {
    for (const name of ["a-first", "b-refused", "c-last"]) await home.backup(name);
    away.hooks = {
      before: (what) => {
        if (what === "create backups.velero.io/b-refused")
          throw new AccessError("DM_KUBE_FORBIDDEN", "denied by an admission webhook");
      },
    };
    await sync(away);
    expect(away.names("backups")).toEqual(["a-first", "c-last"]);
    expect(away.warnings.length).toBe(1);
  });

  it("damaged pod volume backups", async () => {
    await home.backup("nightly");
    home.bucket.files.set("backups/nightly/nightly-podvolumebackups.json.gz", new Uint8Array(9));
    await sync(away);
    expect(away.names("backups")).toEqual(["nightly"]);
  });

  it("a folder without a backup in it", async () => {
    await home.backup("nightly");
    home.bucket.files.set("backups/begun/begun.tar.gz", new Uint8Array(9));
    await sync(away);
    expect(away.names("backups")).toEqual(["nightly"]);
    expect(away.warnings).toEqual([]);
  });
});

it("waits for its time, for the location to be Available, and does nothing where it is turned off", async () => {
  await home.backup("nightly");
  await sync(away);
  away.api.delete("backups.velero.io", operator, "nightly");
  away.advance(59_000);
  expect(await sync(away)).toEqual({ requeueAfterMs: 1_000 });
  expect(away.names("backups")).toEqual([]);
  away.advance(1_000);
  away.modify("locations", "default", (location) => {
    location.status.phase = "Unavailable";
  });
  expect(await sync(away)).toEqual({});
  away.modify("locations", "default", (location) => {
    location.status.phase = "Available";
    location.spec.backupSyncPeriod = "0s";
  });
  expect(await sync(away)).toEqual({});
  expect(away.names("backups")).toEqual([]);
  expect(await syncLocation(away.deps, { ...key, name: "none" })).toEqual({});
});

it("does nothing the second time", async () => {
  const schedule = home.create("schedules", "daily", {
    spec: { schedule: "@daily", template: {} },
  });
  const { uid } = schedule.metadata;
  const ownerReferences = [{ apiVersion: "velero.io/v1", kind: "Schedule", name: "daily", uid }];
  await home.backup("nightly", { metadata: { ownerReferences }, podVolumeBackups: [] });
  home.api.delete("backups.velero.io", operator, "nightly");
  await sync(home);
  const first = home.get("backups", "nightly");
  expect(first.metadata.ownerReferences).toMatchObject([{ name: "daily", uid }]);
  home.advance(60_000);
  await sync(home);
  expect(home.get("backups", "nightly")).toEqual(first);
  await sync(away);
  expect(away.get("backups", "nightly").metadata.ownerReferences).toBeUndefined();
});
