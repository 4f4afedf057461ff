/**
 * The administrator's side, from manifests to proof: the operator runs as its manifests say, with rights enforced; a
 * DataProtectionApplication with the documentation's algorithms starts our server and node agents; a claim is backed up through the
 * data mover, its repository has the algorithms by what `dm` says of it, the claim is lost and restored; and with the application go
 * its workloads.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { backupRepositories, dataProtectionApplications, restores } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import { until } from "../src/demo/stage.ts";
import { destroyClaim, listClaim } from "../src/demo/volumes.ts";
import { prove } from "../src/proof.ts";
import { withoutMark } from "./backup-scene.ts";
import {
  backUp,
  connection,
  enable,
  ended,
  namespace,
  type OadpScene,
  openOadpScene,
  volume,
} from "./oadp-scene.ts";

const run = promisify(execFile);
const dm = fileURLToPath(new URL("../../cli/src/dm.ts", import.meta.url));

let scene: OadpScene;
beforeAll(async () => {
  scene = await openOadpScene();
}, 60_000);
afterAll(async () => {
  const denied = scene?.embedded.cluster.server.denied ?? [];
  await scene?.[Symbol.asyncDispose]();
  // What each may is enough.
  expect(denied).toEqual([]);
}, 30_000);

const timeout = 90_000;

it("starts server and node agents as the application wants them", { timeout }, async () => {
  const location = await enable(scene);
  expect(location.spec.default).toBe(true);
  const { api } = scene.embedded.cluster;
  const pods = await until("server and node agents to be ready", scene.stage, async () => {
    const ready = api
      .list("pods", namespace)
      .filter(({ status }) => status?.containerStatuses?.[0]?.ready)
      .map(({ metadata }) => metadata.labels?.["app.kubernetes.io/name"] ?? "");
    return ready.length === 4 ? ready.sort() : undefined;
  });
  expect(pods).toEqual(["dm-operator", "node-agent", "node-agent", "velero"]);
  const name = api.list("pods", namespace).find(({ metadata }) => metadata.labels?.["deploy"])
    ?.metadata.name;
  const log = await scene.stage.client.podLog({ namespace, name: name ?? "" });
  expect(log).toMatch(/level=info msg="Flags of Velero's have no effect here" flags=--disable-inf/);
});

it("backs up, and the repository has the algorithms", { timeout }, async () => {
  const status = await backUp(scene);
  expect(status).toMatchObject({ phase: "Completed", backupItemOperationsCompleted: 1 });
  const { args, env } = await connection(scene);
  const call = async (...words: string[]): Promise<string> => {
    const argv = ["--conditions=@dm/source", "--no-warnings", dm, ...words];
    return (await run(process.execPath, argv, { env })).stdout;
  };
  await call("repository", "connect", ...args);
  const text = await call("repository", "status");
  expect(text).toMatch(/^Hash: +BLAKE3-256$/m);
  expect(text).toMatch(/^Encryption: +CHACHA20-POLY1305-HMAC-SHA256$/m);
  expect(text).toMatch(/^Splitter: +DYNAMIC-8M-RABINKARP$/m);
  expect(text).toMatch(/^Format version: +3$/m);
  const server = scene.embedded.cluster.api
    .list("pods", namespace)
    .find(({ metadata }) => metadata.labels?.["deploy"] === "velero");
  const metrics = await until("the server to have counted the backup", scene.stage, async () => {
    const answer = await fetch(`http://${server?.status?.podIP}:8085/metrics`);
    const shown = await answer.text();
    return shown.includes('velero_backup_success_total{schedule=""} 1\n') ? shown : undefined;
  });
  expect(metrics).toMatch(/^velero_backup_tarball_size_bytes\{schedule=""\} \d{3,}$/m);
  expect(metrics).toContain(
    'velero_backup_location_status_gauge{backup_location_name="dpa-sample-1"} 1',
  );
  const { items } = await scene.stage.client.list(backupRepositories, { namespace });
  expect(items.map(({ status: is }) => is?.phase)).toEqual(["Ready"]);
});

it("restores", { timeout }, async () => {
  const { stage } = scene;
  const before = await listClaim(stage, volume.claim, volume.volumeMode);
  expect(before.length).toBeGreaterThan(1);
  await destroyClaim(stage, volume.claim);
  const status = await ended(scene, restores, "back", { backupName: "nightly" });
  expect(status).toMatchObject({ phase: "Completed", restoreItemOperationsCompleted: 1 });
  const after = await listClaim(stage, volume.claim, volume.volumeMode);
  expect(prove(withoutMark(before), withoutMark(after)).differences).toEqual([]);
});

it("takes its workloads with it", { timeout }, async () => {
  const { api } = scene.embedded.cluster;
  await scene.stage.client.delete(dataProtectionApplications, { namespace, name: "dpa-sample" });
  const left = () =>
    [
      ...["deployments.apps", "daemonsets.apps", "backupstoragelocations.velero.io", "pods"],
      ...["services", "configmaps"],
    ]
      .flatMap((kind) => api.list(kind, namespace))
      .map(({ metadata }) => metadata.name)
      .filter((name) => !/^(dm-operator|kube-root-ca)/.test(name));
  await until("workloads and location to go", scene.stage, async () =>
    left().length === 0 ? true : undefined,
  ).catch((error: unknown) => {
    throw new Error(`left: ${left().join(", ")}`, { cause: error });
  });
  // What it has not made stays: the credentials and the backup.
  expect(api.get("secrets", namespace, "cloud-credentials")).toBeDefined();
  expect(api.list("backups.velero.io", namespace)).toHaveLength(1);
});
