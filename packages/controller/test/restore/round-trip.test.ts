/**
 * What was backed up, restored under another name and backed up again is the same backup, but for what each restore decides anew. The
 * objects are drawn by seed.
 */
import { labels } from "@dm/crds";
import { expect, it } from "vitest";
import { type BackupItem, decodeItems } from "../../src/bucket/backup-files.ts";
import { type AnyObject, without } from "../../src/restore/actions/action.ts";
import { withoutOrigin } from "../../src/restore/existing.ts";
import { World } from "../backup/world.ts";
import { object, resourceOf } from "./objects.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);

function drawn(): AnyObject[] {
  let state = seed >>> 0;
  const draw = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const text = (): string => `v${draw(1e6)}`;
  const metadata = (): object => ({
    labels: { app: text(), ...(draw(2) && { tier: text() }) },
    ...(draw(2) && { annotations: { note: text() } }),
    ...(draw(4) === 0 && { finalizers: ["example.com/keep"] }),
  });
  const containers = (): object[] =>
    Array.from({ length: 1 + draw(2) }, (_, index) => ({ name: `c${index}`, image: text() }));
  const template = { metadata: { labels: { app: "x" } }, spec: { containers: containers() } };
  const makers: ((name: string) => AnyObject)[] = [
    (name) => object("v1", "ConfigMap", name, { data: { [text()]: text() } }, metadata()),
    (name) => object("v1", "Secret", name, { type: "Opaque", data: { a: "YQ==" } }, metadata()),
    (name) =>
      object("v1", "ServiceAccount", name, { imagePullSecrets: [{ name: text() }] }, metadata()),
    (name) =>
      object(
        "v1",
        "Service",
        name,
        {
          spec: {
            type: draw(2) ? "NodePort" : "ClusterIP",
            ports: [{ name: "a", port: 1 + draw(9999), protocol: "TCP" }],
            selector: { app: "x" },
          },
        },
        metadata(),
      ),
    (name) => object("v1", "Pod", name, { spec: { containers: containers() } }, metadata()),
    (name) =>
      object(
        "rbac.authorization.k8s.io/v1",
        "Role",
        name,
        { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] },
        metadata(),
      ),
    (name) =>
      object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        name,
        {
          roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" },
          subjects: [{ kind: "ServiceAccount", name: "a", namespace: "shop" }],
        },
        metadata(),
      ),
    (name) =>
      object(
        "apps/v1",
        "Deployment",
        name,
        { spec: { replicas: draw(3), selector: { matchLabels: { app: "x" } }, template } },
        metadata(),
      ),
    (name) =>
      object(
        "batch/v1",
        "Job",
        name,
        { spec: { template: { ...template, spec: { ...template.spec, restartPolicy: "Never" } } } },
        metadata(),
      ),
    (name) =>
      object(
        "batch/v1",
        "CronJob",
        name,
        {
          spec: {
            schedule: "0 0 * * *",
            jobTemplate: {
              spec: {
                template: { ...template, spec: { ...template.spec, restartPolicy: "Never" } },
              },
            },
          },
        },
        metadata(),
      ),
  ];
  return makers.flatMap((make, kind) =>
    Array.from({ length: 1 + draw(3) }, (_, index) => make(`o${kind}-${index}`)),
  );
}

const chosen = [
  "clusterIP",
  "clusterIPs",
  "nodePort",
  "volumeName",
  "controller-uid",
  "batch.kubernetes.io/controller-uid",
];

/** Without what says where an object is and has been, and what the cluster has chosen for it. */
function plain({ object: one, resource }: BackupItem): string {
  const { metadata, ...rest } = withoutOrigin(one as AnyObject);
  const { annotations = {}, finalizers, name } = metadata;
  const own = without(metadata.labels, [
    labels.backupName,
    labels.restoreName,
    labels.volumeSnapshotName,
  ]);
  const isSelected = ["jobs.batch", "persistentvolumeclaims"].includes(resource);
  const gone = new Set([...chosen, ...(isSelected ? ["selector"] : [])]);
  const settled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(settled);
    if (typeof value !== "object" || value === null) return value === "copy" ? "shop" : value;
    const kept = Object.entries(value).filter(([key]) => !gone.has(key));
    return Object.fromEntries(kept.sort().map(([key, each]) => [key, settled(each)]));
  };
  const { note } = annotations;
  return JSON.stringify(settled({ resource, name, labels: own, note, finalizers, rest }));
}

it(`a copy of a copy is the same (seed ${seed})`, async () => {
  await using world = await World.open();
  for (const one of drawn()) world.api.create(resourceOf(one), one as never);
  world.claim("shop", "data");
  const archive = async (name: string, namespace: string): Promise<BackupItem[]> => {
    world.backup(name, { includedNamespaces: [namespace] });
    expect((await world.untilEnd("backups", name)).status?.phase).toBe("Completed");
    const bytes = world.blobs.get(`default/backups/${name}/${name}.tar.gz`) ?? new Uint8Array();
    const kept = (one: BackupItem): boolean =>
      !["namespaces", "persistentvolumes", "datauploads.velero.io"].includes(one.resource);
    return decodeItems(bytes, name).filter(kept);
  };
  const first = await archive("one", "shop");
  expect(first.length).toBeGreaterThan(10);
  world.restore("back", { backupName: "one", namespaceMapping: { shop: "copy" } });
  expect((await world.untilEnd("restores", "back")).status).toMatchObject({ phase: "Completed" });
  const second = await archive("two", "copy");
  const sorted = (items: BackupItem[]): string[] => items.map(plain).sort();
  expect(sorted(second)).toEqual(sorted(first));
});
