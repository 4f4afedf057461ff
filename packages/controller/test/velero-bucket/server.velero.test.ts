/**
 * A bucket that we wrote, in the hands of a real Velero server on another cluster: our Backups appear there, Velero's client describes
 * them, their objects come back as they were, and one is deleted. Then both back up the same namespace: what lies in the bucket is the
 * same, object by object. The volumes are the business of node agents, of which there are none.
 */
import { gunzipSync } from "node:zlib";
import { type Backup, backups, type Restore, restores } from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeBackup, tarballFile } from "../../src/bucket/backup-files.ts";
import { decodeTar } from "../../src/bucket/tar-codec.ts";
import { ourBucket } from "./our-bucket.ts";
import { expected, realBackups, sourceObjects, text, unzipped } from "./real-bucket.ts";
import { bucket, namespace, openBucket, ServerScene } from "./server-scene.ts";
import { client, startVeleroServer, type VeleroServer, velero } from "./velero-programs.ts";

describe.skipIf(!velero.available)(velero.title("a real velero server has our bucket"), () => {
  let scene: ServerScene;
  let server: VeleroServer;
  beforeAll(async () => {
    // Each look at the bucket writes the file with its credentials anew, beside whoever reads it.
    scene = await ServerScene.open({ s3: await openBucket(await ourBucket()), syncPeriod: "10m" });
    const { cluster } = scene.server;
    for (const { object, resource } of sourceObjects("plain"))
      if (resource.startsWith("customresourcedefinitions.")) cluster.create(resource, object);
    server = await startVeleroServer(scene);
  }, 60_000);
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await scene[Symbol.asyncDispose]();
    await scene.s3.close();
  });

  /** What lies in the bucket of a backup, without what the servers themselves write meanwhile. */
  async function told(name: string) {
    const list = unzipped(await scene.file(name, `${name}-resource-list.json.gz`));
    const kinds = Object.entries(JSON.parse(list) as Record<string, string[]>);
    const archive = gunzipSync(await scene.file(name, tarballFile(name)));
    const files = [...decodeTar(archive)].filter(({ path }) => !isOfServers(path));
    const { metadata, spec, status } = decodeBackup(await scene.file(name, "velero-backup.json"));
    const {
      hooks: _hooks,
      metadata: _metadata,
      ...filled
    } = (spec ?? {}) as Record<string, unknown>;
    return {
      spec: filled,
      labels: metadata.labels,
      annotations: metadata.annotations,
      phase: status?.phase,
      errors: status?.errors,
      warnings: status?.warnings,
      list: Object.fromEntries(kinds.filter(([kind]) => !isOfServers(kind))),
      files: Object.fromEntries(files.map(({ bytes, path }) => [path, text(bytes)])),
    };
  }

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

  it("backs up the same as ours, whatever is asked for", { timeout: 150_000 }, async () => {
    const make = async (name: string, spec: object): Promise<void> => {
      const metadata = { name, namespace };
      await scene.client.create(backups, {
        apiVersion: "velero.io/v1",
        kind: "Backup",
        metadata,
        spec,
      });
      await until(async () => {
        const { status } = (await scene.backup(name)) ?? {};
        const isOver = /^(Completed|PartiallyFailed|Failed|FailedValidation)$/;
        return isOver.test(status?.phase ?? "") ? true : undefined;
      });
    };
    fillNeighbours(scene);
    const all = Object.entries(questions);
    for (const [name, spec] of all) await make(`theirs-${name}`, spec);
    await server[Symbol.asyncDispose]();
    scene.startControllers();
    for (const [name, spec] of all) await make(`ours-${name}`, spec);
    for (const [name] of all) {
      const [theirs, ours] = await Promise.all([told(`theirs-${name}`), told(`ours-${name}`)]);
      const { onlyOurs = /^$/, onlyTheirs = /^$/, spec } = onPurpose[name] ?? {};
      const isExplained = onPurpose[name] !== undefined;
      const left = ({ files, ...rest }: typeof ours, only: RegExp) => ({
        ...rest,
        ...(isExplained && { list: undefined }),
        files: Object.fromEntries(Object.entries(files).filter(([path]) => !only.test(path))),
      });
      const own = left(ours, onlyOurs);
      expect({ ...own, spec: { ...own.spec, ...spec } }, name).toEqual({
        ...left(theirs, onlyTheirs),
        spec: { ...theirs.spec, ...spec },
      });
      expect(Object.keys(ours.files).some((path) => onlyOurs.test(path))).toBe(
        onPurpose[name]?.onlyOurs !== undefined,
      );
    }
    const { files } = await told("ours-namespace");
    expect(Object.keys(files).length).toBeGreaterThan(20);
  });

  it("its backup is restored by ours", { timeout: 100_000 }, async () => {
    const metadata = { name: "theirs-back", namespace };
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata,
      spec: { backupName: "theirs-namespace", namespaceMapping: { "mysql-copy": "mysql-again" } },
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

interface OnPurpose {
  readonly reason: string;
  /** Paths in the tarball. */
  readonly onlyOurs?: RegExp;
  readonly onlyTheirs?: RegExp;
  /** Written differently, and the same. */
  readonly spec?: object;
}

const whole = `what belongs to no namespace is in a backup of all namespaces, as Velero's documentation has it;
  1.18 leaves it out, since it takes the snapshots that it excludes itself for a choice of kinds`;
const every = { includedNamespaces: ["*"] };
const onPurpose: Readonly<Record<string, OnPurpose>> = {
  everything: {
    reason: whole,
    onlyOurs:
      /^resources\/(customresourcedefinitions\.apiextensions\.k8s\.io\/.*(oadp|snapshot)|cluster.*\/cluster-admin\.json|storageclasses)/,
    spec: every,
  },
  selector: { reason: whole, onlyOurs: /^resources\/clusterroles/, spec: every },
  "or-selectors": { reason: "all namespaces are written as *", spec: every },
  "all-but": {
    reason: "of an excluded namespace the Namespace is not there either",
    onlyTheirs: new RegExp(`^resources/namespaces/.*/(other|${namespace})\\.json$`),
  },
  "by-scope-none": {
    reason: "where everything is excluded nothing is added",
    spec: { excludedClusterScopedResources: ["*"] },
  },
};

const isOfServers = (name: string): boolean => /velero\.io|leases|Lease/.test(name);

/** More namespaces, with something of each scope. */
function fillNeighbours(scene: ServerScene): void {
  for (const name of ["mysql-two", "other"]) {
    scene.create("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    for (const [own, labels] of [
      ["marked", { app: "mysql", tier: "db" }],
      ["plain", {}],
      ["left-out", { "velero.io/exclude-from-backup": "true", app: "mysql" }],
    ] as const)
      scene.create("configmaps", {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: own, namespace: name, labels },
        data: { from: name },
      });
    scene.create("serviceaccounts", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "robot", namespace: name },
    });
  }
  scene.create("clusterroles.rbac.authorization.k8s.io", {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "robot", labels: { app: "mysql" } },
    rules: [],
  });
  scene.create("clusterrolebindings.rbac.authorization.k8s.io", {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "robot" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "robot" },
    subjects: [{ kind: "ServiceAccount", name: "robot", namespace: "other" }],
  });
  scene.create("storageclasses.storage.k8s.io", {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "fast" },
    provisioner: "csi.example.com",
  });
}

/** Backups of which both are to make the same. */
const questions: Readonly<Record<string, object>> = Object.fromEntries(
  Object.entries({
    namespace: { includedNamespaces: ["mysql-copy"] },
    everything: {},
    "all-but": { includedNamespaces: ["*"], excludedNamespaces: ["other", namespace] },
    "with-cluster": { includedNamespaces: ["other"], includeClusterResources: true },
    "without-cluster": { includedNamespaces: ["other"], includeClusterResources: false },
    selector: { labelSelector: { matchLabels: { app: "mysql" } } },
    "selector-expression": {
      includedNamespaces: ["mysql-copy", "mysql-two", "other"],
      labelSelector: { matchExpressions: [{ key: "tier", operator: "In", values: ["db", "web"] }] },
    },
    "or-selectors": {
      orLabelSelectors: [{ matchLabels: { tier: "db" } }, { matchLabels: { app: "nobody" } }],
    },
    "some-kinds": {
      includedNamespaces: ["mysql-copy", "other"],
      includedResources: ["cm", "deployments.apps", "clusterroles"],
    },
    "not-some-kinds": {
      includedNamespaces: ["mysql-copy", "other"],
      excludedResources: ["secrets", "configmaps", "databases"],
    },
    "by-scope": {
      includedNamespaces: ["mysql-two"],
      includedNamespaceScopedResources: ["configmaps", "serviceaccounts"],
      includedClusterScopedResources: ["storageclasses"],
    },
    "by-scope-all": {
      includedNamespaces: ["other"],
      excludedNamespaceScopedResources: ["serviceaccounts"],
      includedClusterScopedResources: ["*"],
    },
    "by-scope-none": {
      includedNamespaces: ["mysql-copy"],
      excludedClusterScopedResources: ["*"],
    },
    ordered: {
      includedNamespaces: ["mysql-two"],
      orderedResources: { configmaps: "mysql-two/plain,mysql-two/marked" },
    },
    "no-such-namespace": { includedNamespaces: ["nowhere"] },
    "no-such-kind": { includedNamespaces: ["other"], includedResources: ["nothings"] },
  }).map(([name, spec]) => [name, { ...spec, snapshotVolumes: false }]),
);

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
