/**
 * A Backup and a Restore on the embedded cluster, by the processes that the manifests start: volumes of files and of blocks come
 * back in another namespace, nobody is refused anything and nothing is left over. And no right of the server in all namespaces is
 * too many: each of these rules is taken away in turn, and the server is refused. One rule, chosen by DM_SEED, in the plain run;
 * all of them with DM_FULL=1.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  backups,
  isFinalBackupPhase,
  type KubeObject,
  persistentVolumeClaims,
  type Resource,
  restores,
} from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Programs } from "../src/demo/embedded.ts";
import { createScreen } from "../src/demo/screen.ts";
import { type SetUp, setUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { claimOf, type DemoVolume, listClaim, runPod } from "../src/demo/volumes.ts";
import { readManifests } from "../src/manifests.ts";
import { prove } from "../src/proof.ts";
import { layOutImage } from "./programs.ts";

const volumes: readonly DemoVolume[] = [
  { claim: "files", volumeMode: "Filesystem", size: "16Mi" },
  { claim: "image", volumeMode: "Block", size: "4Mi" },
];
/** What is written into them, by a shell to which `$0` is the volume. */
const fills = {
  Filesystem:
    'cd "$0"; mkdir -p deep; for i in 1 2 3 4 5; do echo "text $i" > deep/$i; done; chmod 640 deep/3; ln -s deep/1 link',
  Block: 'yes "some block" | head -c 3000000 | dd of="$0" conv=notrunc status=none',
} as const;

let folder = "";
let programs: Programs;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-backup-test-"));
  programs = layOutImage(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Options {
  readonly signal: AbortSignal;
  readonly changeManifests?: (objects: readonly KubeObject[]) => readonly KubeObject[];
}

const open = (options: Options): Promise<SetUp> =>
  setUp({
    programs,
    screen: createScreen(() => {}, false),
    cluster: { images: { host: [] } },
    ...options,
  });

async function fill({ stage }: SetUp): Promise<void> {
  const shell = { ...stage, pod: { image: "host", command: ["sh", "-ec"] } };
  for (const volume of volumes) {
    const { claim, volumeMode } = volume;
    await stage.client.create(persistentVolumeClaims, claimOf(stage, volume));
    const args = [fills[volumeMode], "VOLUME"];
    await runPod(shell, { name: `fill-${claim}`, claim, volumeMode, args });
  }
}

interface Ending extends KubeObject {
  readonly status?: { readonly phase?: string };
}

/** Creates it and follows it to its end. */
async function ended(
  { stage }: SetUp,
  resource: Resource<Ending>,
  name: string,
  spec: object,
): Promise<unknown> {
  const { kind } = resource;
  const { client, operatorNamespace: namespace } = stage;
  const object = { apiVersion: "velero.io/v1", kind, metadata: { name, namespace }, spec };
  await client.create(resource, object);
  const end = await until(`${kind} ${name} to end`, stage, async () => {
    const found = await client.get(resource, { namespace, name });
    return isFinalBackupPhase(found?.status?.phase) ? found : undefined;
  });
  return end.status;
}

async function backUpAndRestore(scene: SetUp): Promise<{ backup: unknown; restore: unknown }> {
  const { namespace } = scene.stage;
  const labelSelector = { matchExpressions: [{ key: "app", operator: "DoesNotExist" }] };
  const spec = { includedNamespaces: [namespace], labelSelector, snapshotMoveData: true };
  const backup = await ended(scene, backups, "nightly", spec);
  const mapped = { backupName: "nightly", namespaceMapping: { [namespace]: "copy" } };
  return { backup, restore: await ended(scene, restores, "back", mapped) };
}

it("volumes of a Backup come back with a Restore", { timeout: 200_000 }, async () => {
  const scene = await open({ signal: AbortSignal.timeout(180_000) });
  try {
    const { embedded, stage } = scene;
    await fill(scene);
    const frozen = [];
    for (const { claim, volumeMode } of volumes)
      frozen.push(await listClaim(stage, claim, volumeMode));
    const { backup, restore } = await backUpAndRestore(scene);
    expect(backup).toMatchObject({ phase: "Completed", backupItemOperationsCompleted: 2 });
    expect(restore).toMatchObject({ phase: "Completed", restoreItemOperationsCompleted: 2 });
    for (const [index, { claim, volumeMode }] of volumes.entries()) {
      const restored = await listClaim({ ...stage, namespace: "copy" }, claim, volumeMode);
      expect(prove(frozen[index] ?? [], restored).differences).toEqual([]);
    }
    const { api, server } = embedded.cluster;
    expect(server.denied).toEqual([]);
    for (const resource of ["volumesnapshots", "volumesnapshotcontents"])
      expect(api.list(`${resource}.snapshot.storage.k8s.io`)).toEqual([]);
    expect(api.list("persistentvolumeclaims", stage.operatorNamespace)).toEqual([]);
  } finally {
    await scene.close();
  }
});

interface ClusterRole extends KubeObject {
  rules: { resources: string[]; verbs: string[] }[];
}

const isServers = (object: KubeObject): object is ClusterRole =>
  object.kind === "ClusterRole" && object.metadata.name === "dm-backup-restore";
const rules = readManifests("base").filter(isServers)[0]?.rules ?? [];
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const all = rules.map(({ resources, verbs }, index) => ({
  title: `${verbs.join(", ")} ${resources.join(", ")}`,
  index,
}));
const chosen = process.env["DM_FULL"] ? all : [all[seed % all.length] ?? all[0]];

it.each(chosen)(
  `without it the server is refused (DM_SEED=${seed}): $title`,
  { timeout: 240_000 },
  async (rule) => {
    const refused = new AbortController();
    const scene = await open({
      signal: AbortSignal.any([refused.signal, AbortSignal.timeout(200_000)]),
      changeManifests: (objects) =>
        objects.map((object) =>
          isServers(object)
            ? { ...object, rules: object.rules.filter((_, index) => index !== rule?.index) }
            : object,
        ),
    });
    const { server } = scene.embedded.cluster;
    const looking = setInterval(() => {
      if (server.denied.length > 0) refused.abort(new Error("somebody was refused"));
    }, 100);
    try {
      await fill(scene);
      await backUpAndRestore(scene).catch((error: unknown) => {
        if (!refused.signal.aborted) throw error;
      });
      expect(server.denied.map(({ user }) => user)).toContain(
        "system:serviceaccount:dm-system:dm-server",
      );
    } finally {
      clearInterval(looking);
      await scene.close();
    }
  },
);
