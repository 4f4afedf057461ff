/**
 * Row 102: backups that a real Velero server wrote, restored as that server restored them. What became of each object, the warnings,
 * operations and volumes are those that Velero itself wrote down.
 */
import { loadVeleroBucket } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeGzipJson, decodeItems } from "../../src/bucket/backup-files.ts";
import { kinds, operator, World } from "../backup/world.ts";
import { restoreFile } from "./backups.ts";

const { expected, objects } = loadVeleroBucket();
const prefix = "velero/";
let world: World;

beforeEach(async () => {
  world = await World.open();
  for (const [key, bytes] of objects)
    if (key.startsWith(`${prefix}backups/`))
      world.blobs.set(`default/${key.slice(prefix.length)}`, bytes);
  for (const name of ["plain", "moved"]) {
    const { metadata, spec, status } = JSON.parse(
      new TextDecoder().decode(world.blobs.get(`default/backups/${name}/velero-backup.json`)),
    );
    const { annotations, labels } = metadata;
    world.api.create(kinds.backups, {
      apiVersion: "velero.io/v1",
      kind: "Backup",
      metadata: { name, namespace: operator, annotations, labels },
      spec: { ...spec, storageLocation: "default" },
      status,
    });
  }
  // As in that cluster: definitions that are there, and what each new namespace gets.
  const archive = world.blobs.get("default/backups/moved/moved.tar.gz") ?? new Uint8Array();
  for (const { object, resource } of decodeItems(archive, "moved.tar.gz"))
    if (resource.startsWith("customresourcedefinitions.")) {
      const { name } = object.metadata;
      world.api.create(resource, { ...object, metadata: { name }, status: undefined } as never);
    }
  world.api.watch(kinds.namespaces, ({ object: { metadata }, type }) => {
    const { name } = metadata;
    if (type !== "ADDED" || !name.startsWith("mysql-")) return;
    world.api.create("serviceaccounts", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace: name, annotations: { "kcp.io/cluster": "root" } },
    });
    world.api.create("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "kube-root-ca.crt", namespace: name },
      data: { "ca.crt": "of this cluster" },
    });
  });
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

async function restore(name: string, spec: object): Promise<string | undefined> {
  world.restore(name, spec);
  return (await world.untilEnd("restores", name)).status?.phase;
}
const ours = (name: string) => ({
  results: restoreFile(world, name, `restore-${name}-results.gz`),
  resourceList: restoreFile(world, name, `restore-${name}-resource-list.json.gz`),
});
const theirFile = (name: string, file: string): unknown =>
  decodeGzipJson(objects.get(`${prefix}restores/${name}/${file}`) ?? new Uint8Array(), file);
/** Ids are new, sizes are those of the world's node agents. */
const stable = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value)
      .replaceAll(/"\d{4}-\d\d-\d\dT[\d:]+Z"/g, '"time"')
      .replaceAll(/dd-[0-9a-f.-]+/g, "operation")
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "uid")
      .replaceAll(/"n(Completed|Total)":\d+/g, '"n$1":0')
      .replaceAll('"dataMover":"dm"', '"dataMover":"velero"'),
  );

describe("row 102: restores of a real Velero server, done by ours", () => {
  it("some kinds of a backup without volumes", async () => {
    const phase = await restore("plain-copy", {
      backupName: "plain",
      namespaceMapping: { "mysql-persistent": "mysql-copy" },
      includedResources: [
        "configmaps",
        "secrets",
        "sa",
        "roles",
        "rolebindings",
        "services",
        "deployments.apps",
        "databases.example.com",
      ],
    });
    expect(phase).toBe("Completed");
    expect(ours("plain-copy")).toEqual(expected.restores["plain-copy"]);
  });

  it("a backup with moved data", async () => {
    const phase = await restore("moved-clean", {
      backupName: "moved",
      namespaceMapping: { "mysql-persistent": "mysql-clean" },
    });
    expect(phase).toBe("Completed");
    expect(ours("moved-clean")).toEqual(expected.restores["moved-clean"]);
    for (const file of [
      "restore-moved-clean-itemoperations.json.gz",
      "moved-clean-volumeinfo.json.gz",
    ])
      expect(stable(restoreFile(world, "moved-clean", file))).toEqual(
        stable(theirFile("moved-clean", file)),
      );
    const claim = world.get("claims", "mysql-clean", "mysql");
    expect(claim.status?.phase).toBe("Bound");
  });

  it("a backup into a namespace where most of it is already", async () => {
    const spec = { namespaceMapping: { "mysql-persistent": "mysql-restored" } };
    await restore("before", {
      ...spec,
      backupName: "moved",
      excludedResources: ["persistentvolumeclaims", "pods"],
    });
    // As a scheduler and a kubelet leave it.
    const pod = { name: "mysql-7d9c5b8f6d-x2x4q", namespace: "mysql-restored" };
    world.api.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: pod,
      spec: { containers: [{ name: "mysql", image: "other" }] },
    });
    expect(await restore("moved-copy", { ...spec, backupName: "moved" })).toBe("Completed");
    const { resourceList, results } = expected.restores["moved-copy"];
    expect(ours("moved-copy").results).toEqual(results);
    expect(ours("moved-copy").resourceList).toEqual(resourceList);
  });
});
