// Which snapshots are a backup's: from any of its files and from the cluster, once each, and never another backup's.
import type { Backup, ConfigMap, DataUpload, KubeObject, PodVolumeBackup } from "@dm/crds";
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  type BackupTraces,
  byNamespace,
  snapshotsOf,
} from "../../src/retention/snapshots-of-backup.ts";

const name = "velero.io/backup-name";
const uid = "velero.io/backup-uid";
const backup = { metadata: { name: "b", uid: "here" } } as Backup;
const stored = { metadata: { name: "b", uid: "there" } } as Backup;
const empty: BackupTraces = {
  backup,
  stored,
  items: [],
  volumes: [],
  dataUploads: [],
  podVolumeBackups: [],
  notes: [],
};
const upload = (snapshotID: string | undefined, labels: object, datamover?: string): DataUpload =>
  ({
    metadata: { name: "du", labels },
    spec: { sourceNamespace: "shop", datamover },
    status: { snapshotID },
  }) as DataUpload;
const item = (object: KubeObject, resource = "datauploads.velero.io") => ({
  resource,
  version: "v2alpha1",
  object,
});
const ids = (traces: Partial<BackupTraces>) =>
  snapshotsOf({ ...empty, ...traces }).inRepositories.map(
    ({ id, volumeNamespace }) => `${volumeNamespace}/${id}`,
  );
const ours = { [name]: "b", [uid]: "there" };

it.each<[string, Partial<BackupTraces>, string[]]>([
  ["a DataUpload of the tarball", { items: [item(upload("k1", ours))] }, ["shop/k1"]],
  ["one without a snapshot", { items: [item(upload(undefined, ours))] }, []],
  [
    "one of the cluster",
    { dataUploads: [upload("k1", { [name]: "b", [uid]: "here" })] },
    ["shop/k1"],
  ],
  ["both", { items: [item(upload("k1", ours))], dataUploads: [upload("k1", ours)] }, ["shop/k1"]],
  ["one of another backup", { items: [item(upload("k1", { [name]: "c", [uid]: "there" }))] }, []],
  [
    "one of an earlier backup of the same name",
    { items: [item(upload("k1", { [name]: "b", [uid]: "before" }))] },
    [],
  ],
  ["one of somebody else's data mover", { items: [item(upload("k1", ours, "volsync"))] }, []],
  ["one of Velero's", { items: [item(upload("k1", ours, "velero"))] }, ["shop/k1"]],
  ["one without labels", { items: [item(upload("k1", {}))] }, []],
  [
    "volume infos",
    {
      volumes: [
        {
          pvcNamespace: "shop",
          snapshotDataMovementInfo: { snapshotHandle: "k2", dataMover: "dm" },
        },
        { pvcNamespace: "shop", snapshotDataMovementInfo: { snapshotHandle: "unknown" } },
        { pvcNamespace: "shop", snapshotDataMovementInfo: { snapshotHandle: "" } },
        { pvcNamespace: "shop" },
      ] as never,
    },
    ["shop/k2"],
  ],
  [
    "a note",
    {
      notes: [
        {
          metadata: {},
          data: { volumeNamespace: "web", snapshotID: "k3", repositoryType: "kopia" },
        } as unknown as ConfigMap,
      ],
    },
    ["web/k3"],
  ],
  ["a note of nothing", { notes: [{ metadata: {} } as ConfigMap] }, []],
])("%s", (_, traces, expected) => {
  expect(ids(traces)).toEqual(expected);
});

it("pod volume backups by their uploader", () => {
  const volume = (uploaderType: string | undefined, snapshotID: string): PodVolumeBackup =>
    ({
      metadata: { name: "pvb", labels: ours },
      spec: { pod: { namespace: "web" }, uploaderType },
      status: { snapshotID },
    }) as unknown as PodVolumeBackup;
  const found = snapshotsOf({
    ...empty,
    podVolumeBackups: [
      volume("kopia", "k1"),
      volume("restic", "r1"),
      volume("restic", "r1"),
      volume(undefined, "k2"),
    ],
  });
  expect(found.inRepositories.map(({ id }) => id)).toEqual(["k1", "k2"]);
  expect(found.problems.length).toBe(1);
});

it("contents of the backup alone", () => {
  const content = (label: string): KubeObject => ({
    metadata: { name: `c-${label}`, labels: { [name]: label } },
  });
  const items = ["b", "c"].map((label) =>
    item(content(label), "volumesnapshotcontents.snapshot.storage.k8s.io"),
  );
  expect(snapshotsOf({ ...empty, items }).contents.map(({ metadata }) => metadata.name)).toEqual([
    "c-b",
  ]);
});

it("two backups that know of each other never share a snapshot", () => {
  const owner = fc.record({
    name: fc.constantFrom("b", "c"),
    uid: fc.constantFrom("u1", "u2", "u3"),
  });
  const place = fc.constantFrom("items", "dataUploads");
  const one = fc.record({ owner, place, id: fc.nat(20) });
  fc.assert(
    fc.property(fc.uniqueArray(one, { selector: ({ id }) => id }), (all) => {
      const seenBy = (own: string, ownUid: string) => {
        const made = { metadata: { name: own, uid: ownUid } } as Backup;
        const object = (it: (typeof all)[0]) =>
          upload(`k${it.id}`, { [name]: it.owner.name, [uid]: it.owner.uid });
        return ids({
          backup: made,
          stored: made,
          items: all.filter((it) => it.place === "items").map((it) => item(object(it))),
          dataUploads: all.filter((it) => it.place === "dataUploads").map(object),
        });
      };
      const [one, two] = [seenBy("b", "u1"), seenBy("c", "u2")];
      expect(one.filter((id) => two.includes(id))).toEqual([]);
      const own = all.filter((it) => it.owner.name === "b" && it.owner.uid === "u1");
      expect(one.sort()).toEqual(own.map(({ id }) => `shop/k${id}`).sort());
    }),
  );
});

it("groups by namespace", () => {
  const snapshots = ["shop/a", "web/b", "shop/c"].map((text) => {
    const [volumeNamespace = "", id = ""] = text.split("/");
    return { volumeNamespace, id };
  });
  expect([...byNamespace(snapshots)]).toEqual([
    ["shop", ["a", "c"]],
    ["web", ["b"]],
  ]);
});
