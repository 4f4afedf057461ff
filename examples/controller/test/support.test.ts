/**
 * The two tables of what is supported, played cell by cell: containers and virtual machines, Filesystem and Block, backed up by their
 * files, by CSI snapshots that stay, and by the data mover. What is supported comes back equal, what is incremental uploads only what
 * has changed, and what is not supported is left out with a warning that says so. A virtual machine is a pod like KubeVirt's, with
 * its disk, beside the VirtualMachine.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import {
  type KubeObject,
  type PodVolumeBackup,
  persistentVolumeClaims,
  pods,
  podVolumeBackups,
  type VolumeMode,
} from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyObjects } from "../src/demo/install.ts";
import type { SetUp } from "../src/demo/set-up.ts";
import { type Stage, until } from "../src/demo/stage.ts";
import { claimOf } from "../src/demo/volumes.ts";
import type { ListedEntry } from "../src/demo-pod/volume-list.ts";
import { parseList, prove } from "../src/proof.ts";
import {
  backUp,
  bucketBytes,
  bucketFile,
  openBackupScene,
  restore,
  withoutMark,
} from "./backup-scene.ts";
import { layOutImage } from "./programs.ts";

interface Cell {
  readonly platform: "containers" | "virtual machines";
  readonly volumeMode: VolumeMode;
  readonly namespace: string;
  /** Why it is not backed up by its files. */
  readonly noFiles?: string;
}

const block = "Block volumes are not supported for fs backup, skipping";
const disk = "Disks of virtual machines are not supported for fs backup, skipping";
const cells: readonly Cell[] = [
  { platform: "containers", volumeMode: "Filesystem", namespace: "pod-files" },
  { platform: "containers", volumeMode: "Block", namespace: "pod-block", noFiles: block },
  { platform: "virtual machines", volumeMode: "Filesystem", namespace: "vm-files", noFiles: disk },
  { platform: "virtual machines", volumeMode: "Block", namespace: "vm-block", noFiles: disk },
];
const namespaces = cells.map(({ namespace }) => namespace);
const volumePath = "/dm-support-volume";
/** Of a device the piece around a change is stored again, 4 MiB on the average. */
const bytes = { Filesystem: 2 << 20, Block: 24 << 20 } as const;
const changedBytes = 50_000;
const mostOfChange = { Filesystem: bytes.Filesystem / 4, Block: bytes.Block / 2 } as const;

const machineDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "virtualmachines.kubevirt.io" },
  spec: {
    group: "kubevirt.io",
    scope: "Namespaced",
    names: { plural: "virtualmachines", kind: "VirtualMachine" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        },
      },
    ],
  },
} as KubeObject;

let folder = "";
let scene: SetUp;
const stageOf = (namespace: string): Stage => ({ ...scene.stage, namespace });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-support-"));
  scene = await openBackupScene({
    programs: layOutImage(folder),
    signal: AbortSignal.timeout(500_000),
    manifests: "overlays/fs-backup",
    changeManifests: manyAtOnce,
  });
  await applyObjects(scene.stage.client, [machineDefinition], scene.stage);
  await Promise.all(cells.map(start));
  for (const cell of cells) await write(cell, "first");
}, 120_000);
afterAll(async () => {
  await scene?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

/** The four volumes move together. */
function manyAtOnce(objects: readonly KubeObject[]): readonly KubeObject[] {
  const data = { "node-agent-config.json": '{ "loadConcurrency": { "globalConfig": 4 } }' };
  return objects.map((object) =>
    object.kind === "ConfigMap" && object.metadata.name === "dm-node-agent"
      ? ({ ...object, data } as KubeObject)
      : object,
  );
}

async function start({ namespace, platform, volumeMode }: Cell): Promise<void> {
  const { client, pod } = scene.stage;
  const isMachine = platform === "virtual machines";
  const space: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } };
  const claim = claimOf(stageOf(namespace), { claim: "disk", volumeMode, size: "32Mi" });
  const machine = {
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachine",
    metadata: { name: "guest", namespace },
    spec: { runStrategy: "Always", template: { spec: { volumes: [{ name: "disk" }] } } },
  } as KubeObject;
  const attachment =
    volumeMode === "Block"
      ? { volumeDevices: [{ name: "disk", devicePath: volumePath }] }
      : { volumeMounts: [{ name: "disk", mountPath: volumePath }] };
  const name = isMachine ? "virt-launcher-guest-abcde" : "app";
  const launcher = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: isMachine ? { "kubevirt.io": "virt-launcher", "vm.kubevirt.io/name": "guest" } : {},
    },
    spec: {
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          name: "compute",
          image: pod.image,
          command: [...pod.command],
          args: ["wait"],
          ...attachment,
        },
      ],
      volumes: [{ name: "disk", persistentVolumeClaim: { claimName: "disk" } }],
    },
  } as KubeObject;
  await applyObjects(
    client,
    [space, claim, ...(isMachine ? [machine] : []), launcher],
    scene.stage,
  );
  await runningPod(namespace);
}

const runningPod = (namespace: string): Promise<string> =>
  until(`the pod in ${namespace} to run`, scene.stage, async () => {
    const { items } = await scene.stage.client.list(pods, { namespace });
    const running = items.find(({ status }) => status?.phase === "Running");
    return running?.metadata.name;
  });

async function run(namespace: string, args: readonly string[]): Promise<string> {
  const name = await runningPod(namespace);
  const command = [...scene.stage.pod.command, ...args];
  const options = { container: "compute", command, timeoutMs: 30_000 };
  const end = await scene.stage.client.exec({ namespace, name }, options);
  if (end.exitCode !== 0) throw new Error(`${args.join(" ")}: ${end.stderr}`);
  return end.stdout;
}

/** Random bytes: a file of its own, or more of the device. */
async function write({ namespace, volumeMode }: Cell, when: "first" | "later"): Promise<void> {
  const size = String(when === "first" ? bytes[volumeMode] : changedBytes);
  const path = volumeMode === "Block" ? volumePath : `${volumePath}/${when}.img`;
  await run(namespace, ["write-once", path, size]);
}

const look = async (namespace: string): Promise<ListedEntry[]> =>
  parseList(await run(namespace, ["list", volumePath]));

const methods = {
  files: { defaultVolumesToFsBackup: true, snapshotVolumes: false },
  csi: { snapshotMoveData: false },
  "data mover": { snapshotMoveData: true },
} as const;
type Method = keyof typeof methods;

const backupName = (method: Method, round: number): string =>
  `${method.replace(" ", "-")}-${round}`;

/** A Backup of all four; what each namespace's repository grew by. */
async function round(method: Method, number: number): Promise<Record<string, number>> {
  const sizes = async (): Promise<number[]> =>
    Promise.all(namespaces.map((namespace) => bucketBytes(scene, `kopia/${namespace}/`)));
  const before = await sizes();
  const name = backupName(method, number);
  const status = await backUp(scene, name, { includedNamespaces: namespaces, ...methods[method] });
  expect(status).toMatchObject({ phase: "Completed" });
  const after = await sizes();
  return Object.fromEntries(
    namespaces.map((namespace, index) => [
      namespace,
      (after[index] as number) - (before[index] as number),
    ]),
  );
}

async function warningsOf(name: string): Promise<Record<string, string[]>> {
  const file = await bucketFile(scene, `backups/${name}/${name}-results.gz`);
  return JSON.parse(gunzipSync(file).toString()).warnings.namespaces ?? {};
}

const copyOf = (namespace: string, method: Method): string =>
  `${namespace}-${method.replace(" ", "-")}`;

/** Restored beside the originals. */
async function bringBack(method: Method, number: number): Promise<void> {
  const namespaceMapping = Object.fromEntries(
    namespaces.map((namespace) => [namespace, copyOf(namespace, method)]),
  );
  const name = backupName(method, number);
  const status = await restore(scene, `${name}-back`, { backupName: name, namespaceMapping });
  expect(status).toMatchObject({ phase: "Completed" });
}

async function expectEqual({ namespace }: Cell, method: Method): Promise<void> {
  const copy = copyOf(namespace, method);
  expect(prove(await look(namespace), withoutMark(await look(copy))).differences).toEqual([]);
}

const timeout = 180_000;

describe("by their files", () => {
  let uploaded: Record<string, number>[] = [];
  it("are backed up, again, and brought back", { timeout }, async () => {
    uploaded = [await round("files", 1)];
    for (const cell of cells) await write(cell, "later");
    uploaded.push(await round("files", 2));
    await bringBack("files", 2);
  });

  it.each(cells.filter(({ noFiles }) => !noFiles))(
    "$platform, $volumeMode: supported, incremental",
    { timeout },
    async (cell) => {
      const [first, second] = uploaded.map((sizes) => sizes[cell.namespace] ?? 0);
      expect(first).toBeGreaterThan(bytes[cell.volumeMode]);
      expect(second).toBeGreaterThan(changedBytes);
      expect(second).toBeLessThan(mostOfChange[cell.volumeMode]);
      await expectEqual(cell, "files");
    },
  );

  it.each(cells.filter(({ noFiles }) => noFiles))(
    "$platform, $volumeMode: not supported, with a warning",
    { timeout },
    async ({ namespace, noFiles }) => {
      expect(uploaded.map((sizes) => sizes[namespace])).toEqual([0, 0]);
      const warnings = (await warningsOf("files-1"))[namespace] ?? [];
      expect(warnings).toContainEqual(expect.stringContaining(noFiles ?? ""));
      const { client, operatorNamespace } = scene.stage;
      const { items } = await client.list(podVolumeBackups, { namespace: operatorNamespace });
      const ofPod = (one: PodVolumeBackup): boolean => one.spec.pod?.namespace === namespace;
      expect(items.filter(ofPod)).toEqual([]);
      // The objects are there all the same, and the claim gets an empty volume.
      const key = { namespace: copyOf(namespace, "files"), name: "disk" };
      expect(await client.get(persistentVolumeClaims, key)).toBeDefined();
    },
  );
});

describe("by CSI snapshots that stay in the storage", () => {
  it("are backed up and brought back", { timeout }, async () => {
    expect(Object.values(await round("csi", 1))).toEqual([0, 0, 0, 0]);
    expect(scene.embedded.cluster.csi?.snapshots()).toHaveLength(4);
    await bringBack("csi", 1);
  });

  it.each(cells)("$platform, $volumeMode: supported", { timeout }, async (cell) => {
    await expectEqual(cell, "csi");
  });
});

describe("by the data mover", () => {
  let uploaded: Record<string, number>[] = [];
  it("are backed up, again, and brought back", { timeout }, async () => {
    uploaded = [await round("data mover", 1)];
    for (const cell of cells) await write(cell, "later");
    uploaded.push(await round("data mover", 2));
    await bringBack("data mover", 2);
  });

  it.each(cells)("$platform, $volumeMode: supported, incremental", { timeout }, async (cell) => {
    const [first, second] = uploaded.map((sizes) => sizes[cell.namespace] ?? 0);
    // What was backed up by its files is in the same repository, and not stored again.
    if (cell.noFiles) expect(first).toBeGreaterThan(bytes[cell.volumeMode]);
    expect(second).toBeGreaterThan(changedBytes);
    expect(second).toBeLessThan(mostOfChange[cell.volumeMode]);
    await expectEqual(cell, "data mover");
  });
});

it("nobody needed a right that he has not", () => {
  expect(scene.embedded.cluster.server.denied).toEqual([]);
});
