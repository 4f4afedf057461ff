/**
 * File-system backup on a whole embedded cluster: the files of a running pod's volumes, of a claim and of the pod itself, go into a
 * repository and come back into a pod that waits for them; and what a real Velero backed up by its files comes back too. Node agent,
 * exposer, movers and repository are real; pods are processes.
 */
import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Backup, PersistentVolumeClaim, Pod, PodVolumeBackup, Restore } from "@dm/crds";
import { loadVeleroBucket } from "@dm/fixtures";
import { afterEach, describe, expect, it } from "vitest";
import {
  dueVolumes,
  newPodVolumeBackup,
  podVolumeRestoresFor,
  withRestoreWait,
} from "../../src/pod-volume/index.ts";
import { decodePodVolumeBackups } from "./golden.ts";
import { location, operator, PodVolumeWorld } from "./pod-volume-world.ts";

let world: PodVolumeWorld;
afterEach(() => world[Symbol.asyncDispose]());

const script = `mkdir -p /data/sub /scratch; [ -f /data/file ] || { printf first > /data/file; printf in > /data/sub/f;
ln -s file /data/link; chmod 600 /data/file; printf gone-with-the-pod > /scratch/s; }
touch /tmp/ready; cat /data/file /scratch/s; exec sleep 600`;

function app(namespace: string): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "db-0", namespace },
    spec: {
      containers: [
        {
          name: "db",
          image: "sh:1",
          args: [script],
          volumeMounts: [
            { name: "data", mountPath: "/data" },
            { name: "scratch", mountPath: "/scratch" },
          ],
        },
      ],
      volumes: [
        { name: "data", persistentVolumeClaim: { claimName: "db" } },
        { name: "scratch", emptyDir: {} },
        { name: "settings", configMap: { name: "absent", optional: true } as never },
      ],
    },
  };
}

const backup: Backup = {
  metadata: { name: "nightly", namespace: operator, uid: "backup-uid" },
  spec: { storageLocation: location },
};
const restore: Restore = {
  metadata: { name: "back", namespace: operator, uid: "restore-uid" },
  spec: { backupName: "nightly" },
};

const claimOf = (namespace: string, name = "db") =>
  world.api.get("persistentvolumeclaims", namespace, name) as never as PersistentVolumeClaim;

/** As a server does: a PodVolumeBackup for each volume that is due. */
async function backUp(pod: Pod, name = "nightly"): Promise<PodVolumeBackup[]> {
  const { namespace = "" } = pod.metadata;
  const claims = new Map([["db", { claim: claimOf(namespace) }]]);
  const { due, skipped } = dueVolumes(pod, claims, { defaultVolumesToFsBackup: true });
  expect(skipped).toEqual([]);
  const made = due.map(({ volume, claim }) =>
    newPodVolumeBackup({
      backup: { ...backup, metadata: { ...backup.metadata, name, uid: `uid-${name}` } },
      pod,
      volume,
      claim,
    }),
  );
  const ended: PodVolumeBackup[] = [];
  for (const each of made) world.make("podvolumebackups.velero.io", withoutOwner(each));
  for (const each of made) {
    const status = await world.ended("PodVolumeBackup", each.metadata.name ?? "");
    ended.push({ ...each, status });
  }
  return ended;
}

/** The garbage collector removes what belongs to a Backup that is not there. */
const withoutOwner = <T extends { metadata: object }>(object: T): T => ({
  ...object,
  metadata: { ...object.metadata, ownerReferences: [] },
});

/** As a server does: the pod that waits, then a PodVolumeRestore for each of its volumes. */
async function bringBack(pod: Pod, backedUp: readonly PodVolumeBackup[], sourceNamespace: string) {
  const names = backedUp.map(({ spec }) => spec.volume);
  const created = await world.pod(withRestoreWait(pod, "restore-uid", names, { image: "wait:1" }));
  const options = { sourceNamespace, location };
  const restores = podVolumeRestoresFor(restore, created, backedUp, options);
  for (const each of restores) world.make("podvolumerestores.velero.io", withoutOwner(each));
  const ended = [];
  for (const { metadata } of restores)
    ended.push(await world.ended("PodVolumeRestore", metadata.name ?? ""));
  return ended;
}

describe("volumes of a running pod", () => {
  it("go into the repository and come back, of claims and of the pod itself", {
    timeout: 120_000,
  }, async () => {
    world = await PodVolumeWorld.start(["shop", "copy"]);
    await world.makeRepository("shop");
    world.startAgent();
    world.claim("shop", "db");
    await world.pod(app("shop"));
    const pod = await world.running("shop", "db-0");
    await logSays("shop", "firstgone-with-the-pod");
    const first = await backUp(pod);
    expect(first.map(({ status }) => status)).toEqual([
      expect.objectContaining({
        phase: "Completed",
        snapshotID: expect.stringMatching(/^[0-9a-f]{32}$/),
      }),
      expect.objectContaining({ phase: "Completed" }),
    ]);
    expect(first[0]?.status?.progress).toEqual({ bytesDone: 7, totalBytes: 7 });

    // The second backup builds on the first.
    const second = await backUp(pod, "again");
    expect(second.map(({ status }) => status?.incrementalBytes)).toEqual([0, 0]);

    // Everything is lost, and comes back in another namespace.
    await world.removePod("shop", "db-0");
    world.claim("copy", "db");
    const restored = await bringBack(app("copy"), second, "shop");
    expect(restored).toEqual([
      expect.objectContaining({ phase: "Completed", node: "node-1" }),
      expect.objectContaining({ phase: "Completed" }),
    ]);
    const { metadata } = await world.running("copy", "db-0");
    await logSays("copy", "firstgone-with-the-pod");
    const root = join(world.cluster.node("node-1").podsDirectory, metadata.uid ?? "", "volumes");
    const data = join(root, "kubernetes.io~csi", claimOf("copy").spec.volumeName ?? "", "mount");
    expect((await lstat(join(data, "file"))).mode & 0o777).toBe(0o600);
    expect(await readlink(join(data, "link"))).toBe("file");
    expect(await readFile(join(data, "sub/f"), "utf8")).toBe("in");
    expect(await readdir(join(data, ".velero"))).toEqual(["restore-uid"]);
    // Hosting pods and claims of ours: none are left.
    expect(world.api.list("pods", operator)).toEqual([]);
    expect(world.api.list("persistentvolumeclaims", operator)).toEqual([]);
  });

  /** The pod shows its files when it has them. */
  async function logSays(namespace: string, text: string): Promise<void> {
    const pod = await world.running(namespace, "db-0");
    const logs = join(world.cluster.node("node-1").root, "var/log/pods");
    for (;;) {
      const file = join(logs, `${namespace}_db-0_${pod.metadata.uid}`, "db/0.log");
      if ((await readFile(file, "utf8").catch(() => "")).includes(text)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});

describe("what a real Velero backed up by its files", () => {
  it("comes back into the pod of its backup, file by file", { timeout: 120_000 }, async () => {
    const namespace = "mysql-persistent";
    const { expected, objects } = loadVeleroBucket();
    const prefix = `velero/kopia/${namespace}/`;
    const blobs = new Map(
      [...objects].flatMap(([key, bytes]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), bytes] as const] : [],
      ),
    );
    world = await PodVolumeWorld.start([namespace]);
    await world.makeRepository(namespace, blobs);
    world.startAgent();
    world.claim(namespace, "mysql");
    const [fsb] = decodePodVolumeBackups(objects);
    if (fsb === undefined) throw new Error("no PodVolumeBackup in the bucket");
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: fsb.spec.pod.name ?? "", namespace },
      spec: {
        containers: [
          {
            name: "mysql",
            image: "sh:1",
            args: ["exec sleep 600"],
            volumeMounts: [{ name: fsb.spec.volume, mountPath: "/var/lib/mysql" }],
          },
        ],
        volumes: [{ name: fsb.spec.volume, persistentVolumeClaim: { claimName: "mysql" } }],
      },
    };
    const [status] = await bringBack(pod, [fsb], namespace);
    expect(status).toMatchObject({ phase: "Completed" });
    const { metadata } = await world.running(namespace, pod.metadata.name ?? "");
    const root = join(world.cluster.node("node-1").podsDirectory, metadata.uid ?? "", "volumes");
    const volume = claimOf(namespace, "mysql").spec.volumeName ?? "";
    const data = join(root, "kubernetes.io~csi", volume, "mount");
    for (const entry of expected.volumes[`${namespace}/mysql`]) {
      const found = await lstat(join(data, entry.path));
      if (entry.sha256 === undefined) continue;
      const bytes = await readFile(join(data, entry.path));
      expect(createHash("sha256").update(bytes).digest("hex"), entry.path).toBe(entry.sha256);
      expect(found.size, entry.path).toBe(entry.size);
    }
  });
});
