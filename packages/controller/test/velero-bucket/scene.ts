/**
 * The cluster that the recorded backups were made of, played again on the embedded API server with our controllers: the same objects,
 * the same specs, a bucket in memory.
 */
import { type Backup, labels } from "@dm/crds";
import type { NewObject, StoredObject } from "@dm/testbed";
import { operator, World } from "../backup/world.ts";
import { type RealBackup, realFile, sourceObjects, text } from "./real-bucket.ts";

const podVolumeBackups = "podvolumebackups.velero.io";

/** With the objects of a backup's namespace in it. */
export async function sceneOf(backup: RealBackup): Promise<World> {
  const world = await World.open();
  world.snapshotClass("csi-fast-snap", "csi.example.com", {
    labels: { [labels.csiVolumeSnapshotClass]: "true" },
  });
  for (const { object, resource } of sourceObjects(backup)) create(world, resource, object);
  if (backup === "partly") {
    create(world, "persistentvolumeclaims", claimWithoutClass);
    world.movements.set("bad-disk", "fail");
  }
  playNodeAgent(world);
  return world;
}

/** It is not in the recorded backup: it is what went wrong. */
const claimWithoutClass = {
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name: "noclass", namespace: "broken" },
  spec: {
    accessModes: ["ReadWriteOnce"],
    volumeName: "pv-noclass",
    resources: { requests: { storage: "1Mi" } },
  },
  status: { phase: "Bound" },
} as NewObject;

function create(world: World, resource: string, object: NewObject): void {
  const { metadata, status } = object as { metadata: { name: string; namespace?: string } } & {
    status?: object;
  };
  world.api.create(resource, object);
  if (!status || resource === "namespaces") return;
  const set = (stored: StoredObject): void => {
    stored.status = { ...stored.status, ...status };
  };
  const options = { subresource: "status" } as const;
  world.api.modify(resource, metadata.namespace ?? "", metadata.name, set, options);
}

/** On the node of the pod; it takes each volume at once. */
function playNodeAgent(world: World): void {
  create(world, "pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "node-agent-1",
      namespace: operator,
      labels: { [labels.role]: "node-agent" },
    },
    spec: { nodeName: "node-1", containers: [{ name: "node-agent", image: "dm" }] },
    status: { phase: "Running" },
  } as NewObject);
  world.api.watch(podVolumeBackups, ({ object: { metadata, status }, type }) => {
    if (type !== "ADDED" || status?.phase === "Completed") return;
    world.api.modify(podVolumeBackups, operator, metadata.name, (object) => {
      object.status = {
        phase: "Completed",
        path: "/host_pods/volume",
        snapshotID: `k-${metadata.name}`,
        acceptedTimestamp: "2026-11-22T10:00:00Z",
        startTimestamp: "2026-11-22T10:00:00Z",
        completionTimestamp: "2026-11-22T10:00:01Z",
        progress: { totalBytes: 100, bytesDone: 100 },
        incrementalBytes: 100,
      };
    });
  });
}

/** Backs up as the recorded backup was: with what its user asked for, the rest of the spec is the server's. */
export async function backUpAgain(world: World, name: RealBackup): Promise<void> {
  const recorded = JSON.parse(text(realFile(`backups/${name}`, "velero-backup.json"))) as Backup;
  const { includedNamespaces, snapshotVolumes } = recorded.spec ?? {};
  const { purpose } = recorded.metadata.labels ?? {};
  const spec = {
    includedNamespaces,
    ...(snapshotVolumes === false && { snapshotVolumes }),
    snapshotMoveData: recorded.spec?.snapshotMoveData || undefined,
    defaultVolumesToFsBackup: recorded.spec?.defaultVolumesToFsBackup || undefined,
  };
  world.backup(name, spec, purpose ? { labels: { purpose } } : {});
  await world.untilEnd("backups", name);
}

/** A file of a backup that we made. */
export function ourFile(world: World, name: string, file: string): Uint8Array {
  const bytes = world.blobs.get(`default/backups/${name}/${file}`);
  if (!bytes) throw new Error(`we wrote no ${file} of ${name}`);
  return bytes;
}

export function ourFiles(world: World, name: string): string[] {
  const prefix = `default/backups/${name}/`;
  return [...world.blobs.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length))
    .sort();
}
