// Rows 104 and 105: a backup goes with everything that belongs to it and nothing else; what goes wrong is told, and a later request
// finishes it.
import { StorageError } from "@dm/core";
import { finalizers, labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeBackup } from "../../src/bucket/backup-files.ts";
import { reconcileDeleteRequest } from "../../src/retention/reconcile-delete-request.ts";
import { syncLocation } from "../../src/retention/sync-location.ts";
import { operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world[Symbol.asyncDispose]());

const reconcile = (name: string, of = world) =>
  reconcileDeleteRequest(of.deps, { namespace: operator, name });
const errorsOf = (name: string) => world.get("requests", name).status?.errors;

it("row 104: snapshots, files, DataUploads, Restores and the Backup go; those of others stay", async () => {
  const kept = await world.backup("kept", { namespaces: ["shop", "web"] });
  const ids = await world.backup("nightly", { namespaces: ["shop", "web"] });
  world.restore("back", "nightly", "Completed", {
    finalizers: [finalizers.restoreExternalResources],
  });
  world.restore("other", "kept");
  const filesOfKept = world.filesOf("backups/kept/");
  expect(await world.snapshotIds("shop")).toContain(ids.get("shop"));
  world.request("nightly");
  expect(await reconcile("nightly-x")).toEqual({});
  expect(await world.snapshotIds("shop")).toEqual([kept.get("shop")]);
  expect(await world.snapshotIds("web")).toEqual([kept.get("web")]);
  expect(world.filesOf("backups/")).toEqual(filesOfKept);
  expect(world.filesOf("restores/")).toEqual(["restores/other/restore-other-logs.gz"]);
  expect(world.names("backups")).toEqual(["kept"]);
  expect(world.names("restores")).toEqual(["other"]);
  expect(world.names("uploads")).toEqual(["kept-shop", "kept-web"]);
  expect(world.names("requests")).toEqual([]);
});

it("a backup of another cluster goes with its snapshots", async () => {
  const podVolume = (ids: string, uploaderType: string): object => ({
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: {
      name: `nightly-${uploaderType}`,
      labels: { [labels.backupName]: "nightly", [labels.backupUid]: "{uid}" },
    },
    spec: {
      backupStorageLocation: "default",
      node: "n",
      pod: { kind: "Pod", namespace: "web", name: "db" },
      repoIdentifier: "",
      volume: "data",
      uploaderType,
    },
    status: { phase: "Completed", snapshotID: ids },
  });
  const id = await world.snapshot("web", "db/data", "pvb");
  await world.backup("nightly", { podVolumeBackups: [podVolume(id, "kopia")] });
  const away = await World.open(world.bucket);
  await syncLocation(away.deps, { namespace: operator, name: "default" });
  expect(away.names("podVolumeBackups")).toEqual(["nightly-kopia"]);
  away.request("nightly");
  await reconcile("nightly-x", away);
  expect(await away.snapshotIds("shop")).toEqual([]);
  expect(await away.snapshotIds("web")).toEqual([]);
  expect(away.filesOf("")).toEqual([]);
  expect([...away.names("backups"), ...away.names("podVolumeBackups")]).toEqual([]);
  // The first cluster sees it at its next sync.
  await syncLocation(world.deps, { namespace: operator, name: "default" });
  expect(world.names("backups")).toEqual([]);
  await away[Symbol.asyncDispose]();
});

it("DataUploads of other backups in its tarball keep their snapshots", async () => {
  const kept = await world.backup("kept");
  const upload = world.get("uploads", "kept-shop");
  const items = [{ resource: "datauploads.velero.io", version: "v2alpha1", object: upload }];
  await world.backup("everything", { namespaces: [], items });
  world.request("everything");
  await reconcile("everything-x");
  expect(world.names("backups")).toEqual(["kept"]);
  expect(await world.snapshotIds("shop")).toEqual([kept.get("shop")]);
  expect(world.names("uploads")).toEqual(["kept-shop"]);
});

describe("row 105: what goes wrong", () => {
  const outage = new StorageError(
    "DM_STORE_FAILED",
    "the store is on fire",
    {},
    { retryable: true },
  );

  it.each([
    ["reading", /^read/],
    ["a repository", /^open repository/],
    ["its snapshots", /^delete from repository/],
    ["files", /^delete backups\/nightly\/nightly.tar.gz/],
    ["files of Restores", /^delete restores\//],
  ])(
    "%s: the request has the reason, the backup stays Deleting, and a later request succeeds",
    async (_, of) => {
      await world.backup("nightly");
      world.restore("back", "nightly");
      world.request("nightly");
      world.failure = { of, error: outage };
      expect(await reconcile("nightly-x")).toEqual({ requeueAfterMs: 24 * 3_600_000 });
      expect(world.get("requests", "nightly-x").status?.phase).toBe("Processed");
      expect(errorsOf("nightly-x")).toEqual([expect.stringContaining("the store is on fire")]);
      expect(world.get("backups", "nightly").status?.phase).toBe("Deleting");
      world.failure = undefined;
      world.advance(60_000);
      world.request("nightly", "nightly-again");
      expect(await reconcile("nightly-again")).toEqual({});
      expect(world.filesOf("")).toEqual([]);
      expect([...world.names("backups"), ...world.names("restores")]).toEqual([]);
      expect(await world.snapshotIds("shop")).toEqual([]);
      expect(world.names("requests")).toEqual([]);
    },
  );

  it("other clusters see from the first moment on that it is no whole backup", async () => {
    await world.backup("nightly");
    world.request("nightly");
    world.failure = { of: /^open repository/, error: outage };
    await reconcile("nightly-x");
    const away = await World.open(world.bucket);
    await syncLocation(away.deps, { namespace: operator, name: "default" });
    expect(away.get("backups", "nightly").status?.phase).toBe("Deleting");
    // If the first cluster does it after all, this one sees that.
    const other = await World.open(world.bucket);
    await syncLocation(other.deps, { namespace: operator, name: "default" });
    away.request("nightly");
    await reconcile("nightly-x", away);
    expect([...away.filesOf(""), ...away.names("backups")]).toEqual([]);
    other.advance(60_000);
    await syncLocation(other.deps, { namespace: operator, name: "default" });
    expect(other.names("backups")).toEqual([]);
    for (const one of [away, other]) await one[Symbol.asyncDispose]();
  });

  it("a snapshot that is gone, a repository that is gone, a tarball that is damaged: no reason to stay", async () => {
    await world.backup("nightly", { namespaces: ["shop", "web"] });
    world.bucket.repositories.delete("web");
    {
      await using repository = await world.repository("shop");
      await using session = await repository.openWriteSession();
      for (const id of await world.snapshotIds("shop")) await session.deleteManifest(id);
      await session.commit();
    }
    world.bucket.files.set("backups/nightly/nightly.tar.gz", new Uint8Array(99));
    world.request("nightly");
    await reconcile("nightly-x");
    expect([...world.names("backups"), ...world.names("requests"), ...world.filesOf("")]).toEqual(
      [],
    );
    expect(world.warnings.map(({ message }) => message)).toEqual([
      "Could not read a file of the backup",
      "Found no repository to delete snapshots from",
    ]);
  });

  it("snapshots of restic have to be deleted with restic", async () => {
    await world.backup("nightly");
    const { uid } = world.get("backups", "nightly").metadata;
    world.create(
      "podVolumeBackups",
      "old",
      {
        spec: {
          backupStorageLocation: "default",
          node: "n",
          pod: { kind: "Pod", namespace: "web", name: "db" },
          repoIdentifier: "s3:x",
          volume: "data",
          uploaderType: "restic",
        },
        status: { phase: "Completed", snapshotID: "1a2b" },
      },
      { labels: { [labels.backupName]: "nightly", [labels.backupUid]: uid } },
    );
    world.request("nightly");
    await reconcile("nightly-x");
    expect(errorsOf("nightly-x")).toEqual([
      expect.stringMatching(/old was made with restic, .* snapshot 1a2b .* namespace web/),
    ]);
    expect(world.filesOf("backups/nightly/").length).toBe(4);
    const stored = world.bucket.files.get("backups/nightly/velero-backup.json");
    expect(decodeBackup(stored ?? new Uint8Array()).status?.phase).toBe("Deleting");
  });
});

it("a request that a dead process has begun is gone on with, also when the Backup is gone already", async () => {
  await world.backup("nightly");
  world.request("nightly", "nightly-x", { status: { phase: "InProgress" } });
  await reconcile("nightly-x");
  expect([...world.names("backups"), ...world.names("requests")]).toEqual([]);
  world.create(
    "requests",
    "late",
    { spec: { backupName: "nightly" }, status: { phase: "InProgress" } },
    { labels: { [labels.backupUid]: "u" } },
  );
  await reconcile("late");
  expect(world.names("requests")).toEqual([]);
});

it("movements of a backup that failed are cancelled first, and waited for", async () => {
  await world.backup("nightly", { status: { phase: "Failed" } });
  world.modify("uploads", "nightly-shop", (upload) => {
    upload.status.phase = "InProgress";
  });
  world.request("nightly");
  expect(await reconcile("nightly-x")).toEqual({ requeueAfterMs: 5_000 });
  expect(world.get("uploads", "nightly-shop").spec.cancel).toBe(true);
  expect(world.get("backups", "nightly").status?.phase).toBe("Failed");
  world.modify("uploads", "nightly-shop", (upload) => {
    upload.status.phase = "Canceled";
  });
  await reconcile("nightly-x");
  expect(world.names("backups")).toEqual([]);
});

it("a request is removed a day later", async () => {
  world.request("nightly");
  await reconcile("nightly-x");
  expect(errorsOf("nightly-x")).toEqual(["backup not found"]);
  world.advance(24 * 3_600_000 - 1);
  expect(await reconcile("nightly-x")).toEqual({ requeueAfterMs: 1 });
  world.advance(1);
  await reconcile("nightly-x");
  expect(world.names("requests")).toEqual([]);
});

it("a Backup that failed because the bucket had its name already leaves the other one alone", async () => {
  const started = { startTimestamp: "2026-11-25T10:00:00Z" };
  const ids = await world.backup("nightly", { status: started });
  const away = await World.open(world.bucket);
  away.create("backups", "nightly", {
    spec: { storageLocation: "default" },
    status: {
      phase: "Failed",
      failureReason: "backup already exists in object storage",
      startTimestamp: "2026-11-25T11:00:00Z",
    },
  });
  const files = new Map(world.bucket.files);
  away.request("nightly");
  await reconcile("nightly-x", away);
  expect([...away.names("backups"), ...away.names("requests")]).toEqual([]);
  expect(world.bucket.files).toEqual(files);
  expect(await world.snapshotIds("shop")).toEqual([ids.get("shop")]);
  // From now on the name is the other one's.
  await syncLocation(away.deps, { namespace: operator, name: "default" });
  expect(away.get("backups", "nightly").status).toMatchObject({ phase: "Completed", ...started });
  away.request("nightly");
  await reconcile("nightly-x", away);
  expect(world.filesOf("")).toEqual([]);
  await away[Symbol.asyncDispose]();
});

it("a Backup that failed before anything was stored goes", async () => {
  const spec = { storageLocation: "default" };
  world.create("backups", "failed", { spec, status: { phase: "Failed" } });
  world.request("failed");
  await reconcile("failed-x");
  expect([...world.names("backups"), ...world.names("requests")]).toEqual([]);
});
