/**
 * `dm why` and `dm must-gather` on the embedded cluster with the whole data mover: a volume whose hosting pod has no place, then an image
 * that cannot be pulled, the Backup that fails of it, a location without a bucket, and what somebody gets who helps.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupStorageLocations, dataUploads, nodes, pods, type Secret } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { Shop } from "./application.ts";
import { atItsEnd, backups, begin, openBackupScene } from "./backup-scene.ts";
import { type DmOutcome, runDm } from "./dm-program.ts";
import { layOutImage } from "./programs.ts";

let folder = "";
let scene: SetUp;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-why-"));
  const signal = AbortSignal.timeout(120_000);
  scene = await openBackupScene({ programs: layOutImage(folder), signal });
}, 60_000);
afterAll(async () => {
  await scene?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

function dm(...args: readonly string[]): Promise<DmOutcome> {
  const { kubeconfig } = scene.embedded.cluster;
  const { operatorNamespace } = scene.stage;
  const flags = ["--kubeconfig", kubeconfig, "--namespace", operatorNamespace];
  return runDm([...args, ...flags], { cwd: folder });
}

async function explained(subject: string): Promise<string> {
  const { code, err, out } = await dm("why", subject);
  expect([code, err]).toEqual([0, ""]);
  return out;
}

it("names cause and remedy, and collects what shows them", { timeout: 90_000 }, async () => {
  const { client, operatorNamespace: namespace } = scene.stage;
  await new Shop(scene, "shop").install("", { withoutBlock: true });
  const { location } = scene.store;
  await client.create(backupStorageLocations, {
    ...location,
    metadata: { name: "nowhere", namespace },
    spec: {
      ...location.spec,
      default: false,
      objectStorage: { ...location.spec.objectStorage, bucket: "no-such-bucket" },
    },
  });
  const cordon = async (unschedulable: boolean): Promise<void> => {
    for (const { metadata } of (await client.list(nodes)).items)
      await client.patch(nodes, { name: metadata.name ?? "" }, { spec: { unschedulable } });
  };

  await cordon(true);
  const spec = { includedNamespaces: ["shop"], snapshotMoveData: true };
  await begin(scene, backups, "nightly", spec);
  const upload = await until("a hosting pod without a place", scene.stage, async () => {
    const [first] = (await client.list(dataUploads, { namespace })).items;
    const name = first?.metadata.name;
    const pod = name && (await client.get(pods, { namespace, name }));
    const conditions = pod ? pod.status?.conditions : [];
    return conditions?.some(({ reason }) => reason === "Unschedulable") ? name : undefined;
  });
  const stuck = await explained(`du/${upload}`);
  expect(stuck).toContain("It waits for its volume to be exposed");
  expect(stuck).toContain("troubleshooting.md#pod-unschedulable)");
  expect(stuck).toContain("0/2 nodes are available");
  expect(stuck).toMatch(/What to do:\n {2}\* The message of the condition PodScheduled/);
  const waiting = await explained("backup/nightly");
  expect(waiting).toContain("troubleshooting.md#pod-unschedulable)");

  for (const name of ["node-1", "node-2"]) scene.embedded.cluster.node(name).images.remove("dm");
  await cordon(false);
  expect((await atItsEnd(scene, backups, "nightly")).phase).toBe("PartiallyFailed");
  for (const subject of [`datauploads.velero.io/${upload}`, "backup/nightly"]) {
    const failed = await explained(subject);
    expect(failed).toContain("the image of a pod cannot be pulled");
    expect(failed).toContain("Correct the image of the node agent's DaemonSet");
  }

  await until("the location to be looked at", scene.stage, async () => {
    const seen = await client.get(backupStorageLocations, { namespace, name: "nowhere" });
    return seen?.status?.phase === "Unavailable" ? true : undefined;
  });
  const told = JSON.parse((await dm("why", "bsl/nowhere", "--json")).out);
  expect(told).toMatchObject({ verdict: "failed", problems: [{ id: "location-bucket" }] });
  expect(await explained("bsl/default")).toContain("nothing is wrong with it");
  expect(await explained("pvc/shop/data-database-0")).toContain("troubleshooting.md#image-pull)");

  const collected = await dm("must-gather");
  expect([collected.code, collected.out]).toEqual([0, ""]);
  expect(collected.err).toContain("into must-gather.tar: begin with index.md");
  const tar = join(folder, "must-gather.tar");
  expect(statSync(tar).mode & 0o777).toBe(0o600);
  const bytes = readFileSync(tar).toString("latin1");
  for (const value of secretValues(scene.store.secret)) expect(bytes).not.toContain(value);
  // Nothing is written over.
  expect((await dm("must-gather")).code).toBe(1);

  const place = join(folder, "unpacked");
  mkdirSync(place);
  execFileSync("tar", ["-xf", tar, "-C", place]);
  const read = (path: string): string => readFileSync(join(place, "must-gather", path), "utf8");
  const index = read("index.md");
  for (const line of ["[image-pull]", "[location-bucket]", "PartiallyFailed: 1"])
    expect(index).toContain(line);
  expect(read(`why/dataupload-${namespace}-${upload}.txt`)).toContain("pull image failed");
  expect(read(`objects/datauploads.velero.io/${namespace}/${upload}.json`)).toContain('"spec"');
  expect(read("events.txt")).toContain("FailedScheduling");
  const server = readdirSync(join(place, "must-gather/logs")).find((pod) => pod.includes("server"));
  expect(server).toBeDefined();
});

it("says how it is called", async () => {
  const { code, err } = await dm("why", "pod/x");
  expect([code, err]).toEqual([2, expect.stringContaining("kinds: Backup, Restore")]);
  expect(await explained("backup/never")).toContain(
    `Backup ${scene.stage.operatorNamespace}/never is not there`,
  );
});

/** All of it, and each value of its lines. */
function secretValues(secret: Secret | undefined): string[] {
  const { data = {}, stringData = {} } = secret ?? {};
  const texts = [
    ...Object.values(stringData),
    ...Object.values(data).map((value) => Buffer.from(value, "base64").toString()),
  ];
  const values = texts.flatMap((text) =>
    text.split("\n").flatMap((line) => line.split("=").slice(1).join("=").trim() || []),
  );
  expect(values.length).toBeGreaterThan(0);
  return [...values, ...Object.values(data)];
}
