/**
 * A bucket that we wrote, in the hands of a real Velero server on another cluster: our Backups appear there, Velero's client describes
 * them, their objects come back as they were, and one is deleted. Then both back up the same namespace: what lies in the bucket is the
 * same, object by object. The volumes are the business of node agents, of which there are none.
 */
import { gunzipSync } from "node:zlib";
import { type Backup, backupStorageLocations, backups, type Restore, restores } from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeBackup, tarballFile } from "../../src/bucket/backup-files.ts";
import { decodeTar } from "../../src/bucket/tar-codec.ts";
import { ourBucket } from "./our-bucket.ts";
import { expected, realBackups, sourceObjects, text, unzipped } from "./real-bucket.ts";
import { bucket, locationName, namespace, openBucket, ServerScene } from "./server-scene.ts";
import { client, startVeleroServer, type VeleroServer, velero } from "./velero-programs.ts";

describe.skipIf(!velero.available)(velero.title("a real velero server has our bucket"), () => {
  let scene: ServerScene;
  let server: VeleroServer;
  beforeAll(async () => {
    scene = await ServerScene.open({ s3: await openBucket(await ourBucket()) });
    const { cluster } = scene.server;
    // What any cluster with Velero has.
    scene.create("deployments.apps", {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "velero", namespace },
      spec: {
        selector: { matchLabels: { deploy: "velero" } },
        template: {
          metadata: { labels: { deploy: "velero" } },
          spec: { containers: [{ name: "velero", image: "velero/velero:v1" }] },
        },
      },
    });
    for (const { object, resource } of sourceObjects("plain"))
      if (resource.startsWith("customresourcedefinitions.")) cluster.create(resource, object);
    // It looks at once only at locations that are in order, and else a minute later.
    const key = { namespace, name: locationName };
    await scene.client.patch(backupStorageLocations, key, { status: { phase: "Available" } });
    server = await startVeleroServer(scene);
  }, 60_000);
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await scene[Symbol.asyncDispose]();
    await scene.s3.close();
  });

  /** With the server's last words when it takes too long. */
  async function until<T>(ask: () => Promise<T | undefined>): Promise<T> {
    return scene.until(ask, 90_000).catch((error: unknown) => {
      throw new Error(`${error}\n${server.log.slice(-4_000)}`);
    });
  }

  it("our Backups appear as they ended", { timeout: 100_000 }, async () => {
    const synced = await until(async () => {
      const found = await Promise.all(realBackups.map((name) => scene.backup(name)));
      return found.every(Boolean) ? (found as Backup[]) : undefined;
    });
    expect(synced.map(({ metadata, status }) => [metadata.name, status?.phase])).toEqual(
      realBackups.map((name) => [name, expected.backups[name].phase]),
    );
    const volumes = scene.server.cluster.list("podvolumebackups.velero.io");
    expect(volumes.map(({ metadata }) => metadata.labels?.["velero.io/backup-name"])).toEqual([
      "fsb",
    ]);
  });

  it("their objects come back as they were", { timeout: 100_000 }, async () => {
    const metadata = { name: "plain-copy", namespace };
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata,
      spec: {
        backupName: "plain",
        namespaceMapping: { "mysql-persistent": "mysql-copy" },
        includedResources: kinds,
      },
    } as Restore);
    const { status } = (await until(async () => {
      const found = await scene.client.get(restores, metadata);
      return /^(Completed|PartiallyFailed|Failed.*)$/.test(found?.status?.phase ?? "")
        ? found
        : undefined;
    })) as Restore;
    expect(status?.phase, server.log.slice(-4_000)).toBe("Completed");
    expect(status?.warnings ?? 0).toBe(0);
    const { cluster } = scene.server;
    const copied = new Set(kinds.map((kind) => (kind === "sa" ? "serviceaccounts" : kind)));
    let count = 0;
    for (const { object, resource } of sourceObjects("plain")) {
      if (!copied.has(resource.split(".")[0] ?? "") && !copied.has(resource)) continue;
      const { name, namespace: _from } = object.metadata as { name: string; namespace?: string };
      const found = cluster.get(resource, "mysql-copy", name);
      for (const part of ["data", "binaryData", "immutable", "rules", "roleRef", "type"])
        if (part in object) expect(found?.[part], `${resource} ${name}`).toEqual(object[part]);
      expect(found?.metadata.labels).toMatchObject({
        "velero.io/backup-name": "plain",
        "velero.io/restore-name": "plain-copy",
      });
      count++;
    }
    expect(count).toBe(9);
  });

  it("Velero's client describes them", { timeout: 100_000 }, async () => {
    const all: Record<string, string> = {};
    for (const name of realBackups) {
      const text = await client(scene, "backup", "describe", name, "--details");
      all[name] = text;
      expect(text).not.toMatch(/<error|WARNING/);
      expect(text).toMatch(new RegExp(`Phase: +${expected.backups[name].phase}\\b`));
      expect(text).toContain("Resource List:\n");
      const log = await client(scene, "backup", "logs", name);
      expect(log).toMatch(/^time="[^"]+Z" level=info msg=/);
    }
    expect(all["moved"]).toMatch(/Operation for persistentvolumeclaims mysql-persistent\/mysql:/);
    expect(all["moved"]).toMatch(
      /mysql-persistent\/mysql:\n +Data Movement:\n(.*\n)+ +Result: succ/,
    );
    expect(all["fsb"]).toMatch(/Pod Volume Backups - kopia:\n +Completed:\n +mysql-persistent\//);
    expect(all["partly"]).toContain(
      "noclass: Cannot snapshot PVC broken/noclass, PVC has no storage",
    );
    expect(all["partly"]).toContain("Operation Error:       data path backup failed");
  });

  it("one is deleted with its files", { timeout: 100_000 }, async () => {
    await client(scene, "backup", "delete", "plain", "--confirm");
    await until(async () => ((await scene.backup("plain")) ? undefined : true));
    const { keys } = scene.s3.bucket(bucket);
    expect(keys.filter((key) => /\/(plain|plain-copy)\//.test(key))).toEqual([]);
    expect(keys.filter((key) => key.includes("/moved/"))).toHaveLength(9);
  });

  it("makes a backup of the same cluster that is the same as ours", {
    timeout: 100_000,
  }, async () => {
    const spec = { includedNamespaces: ["mysql-copy"], snapshotVolumes: false };
    const make = async (name: string): Promise<void> => {
      const metadata = { name, namespace };
      await scene.client.create(backups, {
        apiVersion: "velero.io/v1",
        kind: "Backup",
        metadata,
        spec,
      });
      await until(async () => {
        const { status } = (await scene.backup(name)) ?? {};
        if (/Failed/.test(status?.phase ?? "")) throw new Error(JSON.stringify(status));
        return status?.phase === "Completed" ? true : undefined;
      });
    };
    await make("theirs");
    await server[Symbol.asyncDispose]();
    scene.startControllers();
    await make("ours");
    const lists = await Promise.all(
      ["theirs", "ours"].map(async (name) =>
        unzipped(await scene.file(name, `${name}-resource-list.json.gz`)),
      ),
    );
    expect(JSON.parse(lists[1] ?? "")).toEqual(JSON.parse(lists[0] ?? ""));
    const [theirs, ours] = await Promise.all(
      ["theirs", "ours"].map(async (name) => {
        const file = tarballFile(name);
        const files = [...decodeTar(gunzipSync(await scene.file(name, file)))];
        return Object.fromEntries(files.map(({ bytes, path }) => [path, text(bytes)]));
      }),
    );
    expect(Object.keys(theirs ?? {}).length).toBeGreaterThan(20);
    expect(ours).toEqual(theirs);
    const [real, own] = await Promise.all(
      ["theirs", "ours"].map(async (name) =>
        decodeBackup(await scene.file(name, "velero-backup.json")),
      ),
    );
    const {
      hooks: _hooks,
      metadata: _metadata,
      ...filled
    } = (real?.spec ?? {}) as Record<string, unknown>;
    expect(own?.spec).toEqual(filled);
    expect(own?.metadata.labels).toEqual(real?.metadata.labels);
    expect(own?.metadata.annotations).toEqual(real?.metadata.annotations);
    expect(own?.status?.progress).toEqual(real?.status?.progress);
  });

  it("its backup is restored by ours", { timeout: 100_000 }, async () => {
    const metadata = { name: "theirs-back", namespace };
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata,
      spec: { backupName: "theirs", namespaceMapping: { "mysql-copy": "mysql-again" } },
    } as Restore);
    const { status } = (await until(async () => {
      const found = await scene.client.get(restores, metadata);
      return /Completed|Failed/.test(found?.status?.phase ?? "") ? found : undefined;
    })) as Restore;
    expect(status?.phase, JSON.stringify(status)).toBe("Completed");
    const secret = scene.server.cluster.get("secrets", "mysql-again", "mysql-credentials");
    const before = scene.server.cluster.get("secrets", "mysql-copy", "mysql-credentials");
    expect(secret?.["data"]).toEqual(before?.["data"]);
  });
});

const kinds = [
  "configmaps",
  "secrets",
  "sa",
  "roles",
  "rolebindings",
  "services",
  "deployments.apps",
  "databases.example.com",
];
