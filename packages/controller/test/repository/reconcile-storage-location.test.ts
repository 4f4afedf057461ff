// Storage locations on the embedded API server: asked when it is time, Available or Unavailable with the reason, without secrets.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { manualClock, nsPerMs, silentLogger } from "@dm/core";
import { type BackupStorageLocation, backupStorageLocations, secrets } from "@dm/crds";
import { startS3Server } from "@dm/storage/testing/s3";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  extraDefaults,
  reconcileStorageLocation,
  untilValidation,
} from "../../src/repository/reconcile-storage-location.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { MoverWorld, operator } from "../mover/mover-world.ts";

const key = { namespace: operator, name: "default" };
const startMs = Date.parse("2026-11-25T12:00:00Z");

let world: MoverWorld;
let client: NodeKubeClient;
const clock = manualClock(0n);
beforeEach(async () => {
  clock.set(BigInt(startMs) * nsPerMs);
  world = await MoverWorld.start();
  client = nodeKubeClient({ kubeconfig: world.kubeconfig });
});
afterEach(async () => {
  client.close();
  await world[Symbol.asyncDispose]();
});

const deps = () => ({ client, clock, environment: {}, logger: silentLogger });
async function reconcile(): Promise<{
  location: BackupStorageLocation;
  waitMs: number | undefined;
}> {
  const { requeueAfterMs } = await reconcileStorageLocation(deps(), key);
  const location = (await client.get(backupStorageLocations, key)) as BackupStorageLocation;
  return { location, waitMs: requeueAfterMs };
}

it("is Unavailable with a reason, and Available when that is gone; asked once a minute", async () => {
  const first = await reconcile();
  expect(first.location.status).toMatchObject({
    phase: "Unavailable",
    lastValidationTime: "2026-11-25T12:00:00Z",
    message: expect.stringContaining("no such directory"),
  });
  expect(first.waitMs).toBe(60_000);
  mkdirSync(world.location.config?.["fspath"] ?? "");
  clock.advance(20_000);
  const early = await reconcile();
  expect(early.location.status?.phase).toBe("Unavailable");
  expect(early.waitMs).toBe(40_000);
  clock.advance(40_000);
  const later = await reconcile();
  expect(later.location.status).toMatchObject({
    phase: "Available",
    message: "",
    lastValidationTime: "2026-11-25T12:01:00Z",
  });
});

it("a Secret that is missing makes it Unavailable", async () => {
  world.api.modify("backupstoragelocations.velero.io", operator, "default", (object) => {
    object["spec"].credential = { name: "cloud-credentials", key: "cloud" };
  });
  expect((await reconcile()).location.status).toMatchObject({
    phase: "Unavailable",
    message: "secret cloud-credentials does not exist in velero",
  });
});

it("one that is gone is nothing to do", async () => {
  expect(await reconcileStorageLocation(deps(), { ...key, name: "none" })).toEqual({});
});

it.each<[string, string | undefined, object | undefined, number | undefined]>([
  ["a new one", undefined, undefined, 0],
  [
    "one of half a minute ago",
    undefined,
    { phase: "Available", lastValidationTime: "2026-11-25T11:59:30Z" },
    30_000,
  ],
  [
    "one of an hour ago",
    undefined,
    { phase: "Available", lastValidationTime: "2026-11-25T11:00:00Z" },
    0,
  ],
  [
    "its own frequency",
    "5m0s",
    { phase: "Available", lastValidationTime: "2026-11-25T11:59:00Z" },
    240_000,
  ],
  ["never", "0s", { phase: "Available", lastValidationTime: "2026-11-25T11:00:00Z" }, undefined],
  ["never, but a new one", "0s", undefined, 0],
  [
    "a clock that was set back",
    undefined,
    { phase: "Available", lastValidationTime: "2026-11-25T14:00:00Z" },
    60_000,
  ],
])("%s", (_, validationFrequency, status, waitMs) => {
  const object = { metadata: {}, spec: { validationFrequency }, status } as BackupStorageLocation;
  expect(untilValidation(object, startMs, 60_000)).toBe(waitMs);
});

it("a place that others use is Unavailable with Velero's words", async () => {
  const root = world.location.config?.["fspath"] ?? "";
  for (const name of ["backups", "lost+found", ".trash", "photos"])
    mkdirSync(join(root, name), { recursive: true });
  expect((await reconcile()).location.status).toMatchObject({
    phase: "Unavailable",
    message: "Backup store contains invalid top-level directories: [photos]",
  });
  rmSync(join(root, "photos"), { recursive: true });
  clock.advance(60_000);
  expect((await reconcile()).location.status?.phase).toBe("Available");
});

it("one that has changed is asked at once", async () => {
  mkdirSync(world.location.config?.["fspath"] ?? "");
  expect((await reconcile()).location.status?.phase).toBe("Available");
  world.api.modify("backupstoragelocations.velero.io", operator, "default", (object) => {
    object["spec"].config.fspath = "/none/of/these";
  });
  expect((await reconcile()).location.status?.phase).toBe("Unavailable");
});

it("credentials that change are read again, in a bucket", async () => {
  await using server = await startS3Server({ buckets: ["backups"] });
  const { accessKeyId, secretAccessKey } = server.accessKey;
  const text = (secret: string): string =>
    Buffer.from(
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secret}\n`,
    ).toString("base64");
  await client.create(secrets, {
    metadata: { namespace: operator, name: "cloud" },
    data: { cloud: text("wrong-secret") },
  });
  world.api.modify("backupstoragelocations.velero.io", operator, "default", (object) => {
    object["spec"] = {
      provider: "aws",
      objectStorage: { bucket: "backups", prefix: "velero" },
      config: { s3Url: server.url, region: "us-east-1" },
      credential: { name: "cloud", key: "cloud" },
    };
  });
  const first = await reconcile();
  expect(first.location.status?.phase).toBe("Unavailable");
  expect(JSON.stringify(first.location.status)).not.toContain("wrong-secret");
  const key = { namespace: operator, name: "cloud" };
  await client.patch(secrets, key, { data: { cloud: text(secretAccessKey) } });
  clock.advance(60_000);
  expect((await reconcile()).location.status).toMatchObject({ phase: "Available", message: "" });
});

it("of several defaults the youngest stays", async () => {
  const location = (name: string, creationTimestamp: string, isDefault = true) =>
    ({
      metadata: { name, creationTimestamp },
      spec: { default: isDefault },
    }) as unknown as BackupStorageLocation;
  const names = (...all: BackupStorageLocation[]) =>
    extraDefaults(all).map(({ metadata }) => metadata.name);
  const old = location("old", "2026-11-25T11:00:00Z");
  expect(names()).toEqual([]);
  expect(names(old)).toEqual([]);
  expect(names(old, location("none", "2026-11-25T12:00:00Z", false))).toEqual([]);
  expect(names(old, location("young", "2026-11-25T12:00:00Z"))).toEqual(["old"]);
  expect(
    names(location("b", "2026-11-25T11:00:00Z"), location("a", "2026-11-25T11:00:00Z")),
  ).toEqual(["b"]);
  mkdirSync(world.location.config?.["fspath"] ?? "");
  clock.advance(60_000);
  for (const name of ["first", "second"]) {
    world.api.create("backupstoragelocations.velero.io", {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name, namespace: operator },
      spec: { ...world.location, objectStorage: { bucket: "b" }, default: true },
    } as never);
  }
  await reconcile();
  const { items } = await client.list(backupStorageLocations, { namespace: operator });
  expect(items.filter(({ spec }) => spec.default).length).toBe(1);
});
