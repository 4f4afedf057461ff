/** BackupRepositories over a directory: made once, with the algorithms that were asked for, and never made again over a loss. */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock, silentLogger } from "@dm/core";
import {
  type BackupRepository,
  backupRepositories,
  backupStorageLocations,
  crdManifests,
  newBackupRepository,
  secrets,
} from "@dm/crds";
import {
  connectOrCreateVeleroRepository,
  openVeleroRepository,
  openVeleroStore,
} from "@dm/snapshot/velero";
import { type ApiServer, createApiServer } from "@dm/testbed";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type RepositoryDeps,
  reconcileBackupRepository,
} from "../../src/repository/reconcile-backup-repository.ts";
import { readMark } from "../../src/repository/repository-mark.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";

const namespace = "velero";
const key = { namespace, name: "shop-default-kopia" };
const fast = {
  KOPIA_HASHING_ALGORITHM: "BLAKE3-256",
  KOPIA_ENCRYPTION_ALGORITHM: "CHACHA20-POLY1305-HMAC-SHA256",
  KOPIA_SPLITTER_ALGORITHM: "DYNAMIC-8M-RABINKARP",
};

const nowNs = 1_790_000_000_000_000_000n;
const laterNs = nowNs + 6n * 60n * 1_000_000_000n;

let server: ApiServer;
let client: NodeKubeClient;
let folder = "";

beforeAll(async () => {
  server = await createApiServer();
  client = nodeKubeClient({
    server: {
      url: server.url,
      certificateAuthority: server.cluster.certificateAuthority,
      token: server.adminToken,
    },
  });
  for (const crd of crdManifests())
    server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
  const about = { apiVersion: "v1", kind: "Namespace" };
  server.cluster.create("namespaces", { ...about, metadata: { name: namespace } });
});
afterAll(async () => {
  client.close();
  await server.close();
});

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-repository-"));
  await client.create(backupStorageLocations, {
    apiVersion: "velero.io/v1",
    kind: "BackupStorageLocation",
    metadata: { name: "default", namespace },
    spec: {
      provider: "velero.io/fs",
      objectStorage: { bucket: "unused", prefix: "velero" },
      config: { fspath: folder },
    },
  });
  const options = { namespace, volumeNamespace: "shop", backupStorageLocation: "default" };
  await client.create(backupRepositories, newBackupRepository(options));
});
afterEach(async () => {
  await client.delete(backupRepositories, key);
  await client.delete(backupStorageLocations, { namespace, name: "default" });
  await client.delete(secrets, { namespace, name: "velero-repo-credentials" });
  rmSync(folder, { recursive: true, force: true });
});

const deriveKey = async (password: string): Promise<Uint8Array> =>
  createHash("sha256").update(password).digest();
const deps = (more: Partial<RepositoryDeps> = {}): RepositoryDeps => ({
  client,
  clock: manualClock(nowNs),
  logger: silentLogger,
  environment: {},
  missingPassword: "velero",
  deriveKey,
  ...more,
});

async function reconciled(more: Partial<RepositoryDeps> = {}): Promise<BackupRepository> {
  await reconcileBackupRepository(deps(more), key);
  const repository = await client.get(backupRepositories, key);
  if (!repository) throw new Error("the repository is gone");
  return repository;
}

const locate = (change: (spec: Record<string, unknown>) => void) =>
  server.cluster.modify("backupstoragelocations.velero.io", namespace, "default", (object) =>
    change(object.spec),
  );

async function openedStatus(): Promise<{ hash: string; encryption: string; splitter: string }> {
  const location = {
    provider: "fs",
    config: { fspath: folder },
    objectStorage: { prefix: "velero" },
  };
  const store = await openVeleroStore(location, "shop");
  const repository = await openVeleroRepository(store, { password: "static-passw0rd", deriveKey });
  const { encryption, hash, splitter } = repository.format;
  await repository.close();
  return { hash, encryption, splitter };
}

describe("a BackupRepository", () => {
  it("row 62: is made on demand, Ready, with labels and a frequency", async () => {
    const repository = await reconciled();
    const { metadata, spec, status } = repository;
    expect(status).toEqual({
      phase: "Ready",
      message: "",
      lastMaintenanceTime: "2026-09-21T14:13:20Z",
    });
    expect(spec.maintenanceFrequency).toBe("1h0m0s");
    expect(Object.keys(metadata.labels ?? {})).toHaveLength(3);
    expect(readMark(repository).uniqueID).toMatch(/^[\w+/]{43}=$/);
    const secret = await client.get(secrets, { namespace, name: "velero-repo-credentials" });
    expect(Buffer.from(secret?.data?.["repository-password"] ?? "", "base64").toString()).toBe(
      "static-passw0rd",
    );
  });

  it("row 64, 65: has the algorithms of its creator's environment, and keeps them", async () => {
    await reconciled({ environment: fast });
    const made = {
      hash: "BLAKE3-256",
      encryption: "CHACHA20-POLY1305-HMAC-SHA256",
      splitter: "DYNAMIC-8M-RABINKARP",
    };
    expect(await openedStatus()).toEqual(made);
    server.cluster.modify("backuprepositories.velero.io", namespace, key.name, (object) => {
      object.status.phase = "New";
    });
    expect((await reconciled()).status?.phase).toBe("Ready");
    expect(await openedStatus()).toEqual(made);
  });

  it("row 66: with an unknown algorithm it is not made, and the known ones are named", async () => {
    const { status } = await reconciled({ environment: { KOPIA_HASHING_ALGORITHM: "NOPE" } });
    expect(status?.phase).toBe("NotReady");
    expect(status?.message).toMatch(/^KOPIA_HASHING_ALGORITHM: .*NOPE/);
    expect(status?.message).toContain("BLAKE2B-256-128");
    expect((await reconciled()).status?.phase).toBe("Ready");
  });

  it("row 67: with another password it is NotReady and says so without either of them", async () => {
    await reconciled();
    server.cluster.modify("secrets", namespace, "velero-repo-credentials", (object) => {
      object["data"] = { "repository-password": Buffer.from("other words").toString("base64") };
    });
    const { status } = await reconciled();
    expect(status?.phase).toBe("NotReady");
    expect(status?.message).toMatch(/^invalid password/);
    expect(status?.message).not.toMatch(/static-passw0rd|other words/);
  });

  it("row 68: is not made among foreign objects", async () => {
    mkdirSync(join(folder, "velero/kopia/shop"), { recursive: true });
    writeFileSync(join(folder, "velero/kopia/shop/foreign.f"), "data");
    const { status } = await reconciled();
    expect(status?.phase).toBe("NotReady");
    expect(status?.message).toMatch(/^found existing data in storage location/);
  });

  it("row 69: follows its location to another place", async () => {
    const first = await reconciled();
    locate((spec) => {
      spec["objectStorage"] = { bucket: "unused", prefix: "elsewhere" };
    });
    expect((await reconciled()).status).toMatchObject({
      phase: "NotReady",
      message: "re-establish on BSL change, create or delete",
    });
    const second = await reconciled();
    expect(second.status?.phase).toBe("Ready");
    expect(readMark(second).uniqueID).not.toBe(readMark(first).uniqueID);
  });

  it("row 69: new credentials are no other place", async () => {
    await reconciled();
    locate((spec) => {
      spec["credential"] = { name: "other", key: "cloud" };
    });
    expect((await reconciled()).status?.phase).toBe("Ready");
  });

  it("row 70: is not made in a read-only location, and opened when it is there", async () => {
    locate((spec) => {
      spec["accessMode"] = "ReadOnly";
    });
    expect((await reconciled()).status?.message).toBe(
      "cannot create new backup repo for read-only backup storage location velero/default",
    );
    locate((spec) => {
      spec["accessMode"] = "ReadWrite";
    });
    await reconciled();
    server.cluster.modify("backuprepositories.velero.io", namespace, key.name, (object) => {
      object.status.phase = "New";
    });
    locate((spec) => {
      spec["accessMode"] = "ReadOnly";
    });
    expect((await reconciled()).status?.phase).toBe("Ready");
  });

  it("is never made again over one that was lost or replaced", async () => {
    await reconciled();
    const where = join(folder, "velero/kopia/shop");
    cpSync(where, `${where}-kept`, { recursive: true });
    rmSync(where, { recursive: true });
    const askAgain = (): void => {
      server.cluster.modify("backuprepositories.velero.io", namespace, key.name, (object) => {
        object.status.phase = "New";
      });
    };
    askAgain();
    const lost = await reconciled();
    expect(lost.status?.phase).toBe("NotReady");
    expect(lost.status?.message).toContain("nothing is created in its place");
    cpSync(`${where}-kept`, where, { recursive: true });
    // Not at once again, but when it is time.
    expect((await reconciled()).status?.phase).toBe("NotReady");
    expect((await reconciled({ clock: manualClock(laterNs) })).status?.phase).toBe("Ready");
  });

  it("is not taken for another one that lies in its place", async () => {
    const first = readMark(await reconciled()).uniqueID;
    const where = join(folder, "velero/kopia/shop");
    rmSync(where, { recursive: true });
    const location = {
      provider: "fs",
      config: { fspath: folder },
      objectStorage: { prefix: "velero" },
    };
    const store = await openVeleroStore(location, "shop", { create: true });
    const other = await connectOrCreateVeleroRepository(store, {
      password: "static-passw0rd",
      deriveKey,
    });
    await other.close();
    server.cluster.modify("backuprepositories.velero.io", namespace, key.name, (object) => {
      object["status"].phase = "New";
    });
    const { status } = await reconciled();
    expect(status?.phase).toBe("NotReady");
    expect(status?.message).toContain(first);
  });

  it("row 69: settings of the location that leave it where it is connect again, and make nothing", async () => {
    const first = readMark(await reconciled()).uniqueID;
    locate((spec) => {
      spec["config"] = { ...(spec["config"] as object), insecureSkipTLSVerify: "true" };
    });
    expect((await reconciled()).status?.phase).toBe("NotReady");
    rmSync(join(folder, "velero/kopia/shop"), { recursive: true });
    const { status } = await reconciled();
    expect(status?.phase).toBe("NotReady");
    expect(status?.message).toContain(first);
  });

  it("without its location it is NotReady, and Ready when that comes", async () => {
    const location = await client.get(backupStorageLocations, { namespace, name: "default" });
    await client.delete(backupStorageLocations, { namespace, name: "default" });
    expect((await reconciled()).status).toMatchObject({
      phase: "NotReady",
      message: "its backup storage location does not exist",
    });
    const { provider, config = {}, objectStorage } = location!.spec;
    await client.create(backupStorageLocations, {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: "default", namespace },
      spec: { provider, config, objectStorage },
    });
    expect((await reconciled()).status?.phase).toBe("Ready");
  });

  it("a random password is made when asked for, and the one that everybody knows is warned of", async () => {
    const told: string[] = [];
    const events = {
      record: (_: unknown, __: unknown, event: { reason: string }) => void told.push(event.reason),
    };
    await reconciled({ events });
    expect(told).toEqual(["Created", "CommonPassword"]);
    await client.delete(backupRepositories, key);
    await client.delete(secrets, { namespace, name: "velero-repo-credentials" });
    rmSync(join(folder, "velero/kopia/shop"), { recursive: true });
    await client.create(
      backupRepositories,
      newBackupRepository({ namespace, volumeNamespace: "shop", backupStorageLocation: "default" }),
    );
    told.length = 0;
    await reconciled({ events, missingPassword: "random" });
    expect(told).toEqual(["Created"]);
    const secret = await client.get(secrets, { namespace, name: "velero-repo-credentials" });
    expect(
      Buffer.from(secret?.data?.["repository-password"] ?? "", "base64").length,
    ).toBeGreaterThan(40);
  });

  it("row 78: two that make it at once agree on one", async () => {
    const both = await Promise.allSettled([reconciled(), reconciled()]);
    // Who writes second reads again, and finds nothing left to do.
    for (const { reason } of both.filter((each) => each.status === "rejected"))
      expect(reason).toMatchObject({ code: "DM_KUBE_CONFLICT" });
    expect((await reconciled()).status?.phase).toBe("Ready");
    await openedStatus();
  });

  it("takes settings from the ConfigMap, and refuses an interval that nobody knows", async () => {
    const make = (text: string): void => {
      server.cluster.delete("configmaps", namespace, "settings");
      server.cluster.create("configmaps", {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "settings", namespace },
        data: { kopia: text },
      });
    };
    make('{"cacheLimitMB":2048,"fullMaintenanceInterval":"neverGC"}');
    expect((await reconciled({ configMap: "settings" })).status?.message).toContain("neverGC");
    make('{"cacheLimitMB":2048,"fullMaintenanceInterval":"fastGC"}');
    const { spec, status } = await reconciled({ configMap: "settings" });
    expect(status?.phase).toBe("Ready");
    expect(spec.repositoryConfig).toEqual({
      cacheLimitMB: "2048",
      fullMaintenanceInterval: "fastGC",
    });
  });
});
