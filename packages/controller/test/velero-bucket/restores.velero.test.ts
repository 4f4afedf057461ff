/**
 * Restores of one backup by a real Velero server and by ours, on the same cluster: what is made is the same, object by object, and so is
 * what is said of it.
 */
import { backups, type Restore, restores } from "@dm/crds";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unzipped } from "./real-bucket.ts";
import { bucket, namespace, openBucket, ServerScene } from "./server-scene.ts";
import { startVeleroServer, type VeleroServer, velero } from "./velero-programs.ts";
import { fillZoo, stableObjects, zoo } from "./zoo.ts";

/** Restores of which both are to make the same. */
const restoreQuestions: Readonly<Record<string, object>> = {
  all: {},
  "node-ports": { preserveNodePorts: true },
  status: { restoreStatus: { includedResources: ["deployments.apps", "jobs"] } },
  "some-kinds": { includedResources: ["services", "secrets", "serviceaccounts"] },
  "not-some-kinds": { excludedResources: ["pods", "deploy", "rs"] },
  selector: { labelSelector: { matchLabels: { app: "web" } } },
  "no-cluster": { includeClusterResources: false },
};

describe.skipIf(!velero.available)(velero.title("a real velero server and ours"), () => {
  let scene: ServerScene;
  let server: VeleroServer;
  beforeAll(async () => {
    scene = await ServerScene.open({ s3: await openBucket(new Map()), syncPeriod: "10m" });
    fillZoo(scene);
    server = await startVeleroServer(scene);
  }, 60_000);
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await scene[Symbol.asyncDispose]();
    await scene.s3.close();
  });

  async function until<T>(ask: () => Promise<T | undefined>): Promise<T> {
    return scene.until(ask, 90_000).catch((error: unknown) => {
      throw new Error(`${error}\n${server.log.slice(-4_000)}`);
    });
  }

  /** Restores the zoo into a namespace of the restore's name; what came of it. */
  async function bringBack(name: string, spec: object) {
    const metadata = { name, namespace };
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata,
      spec: { backupName: "zoo", namespaceMapping: { [zoo]: name }, ...spec },
    } as Restore);
    const { status } = (await until(async () => {
      const found = await scene.client.get(restores, metadata);
      return /^(Completed|PartiallyFailed|Failed.*)$/.test(found?.status?.phase ?? "")
        ? found
        : undefined;
    })) as Restore;
    const read = async (file: string): Promise<string> => {
      const key = `velero/restores/${name}/restore-${name}-${file}.gz`;
      return unzipped((await scene.s3.bucket(bucket).read(key)) ?? new Uint8Array());
    };
    const [list, results] = [await read("resource-list.json"), await read("results")];
    return {
      phase: status?.phase,
      warnings: status?.warnings ?? 0,
      errors: status?.errors ?? 0,
      // Ours says what it was about to do, too.
      results: JSON.parse(results.replaceAll(name, "NAMESPACE").replace(/create \S+ \S+: /g, "")),
      list: JSON.parse(list.replaceAll(name, "NAMESPACE")),
      objects: stableObjects(scene, name, name),
    };
  }
  const restored: Record<string, Awaited<ReturnType<typeof bringBack>>> = {};

  it("restore the same", { timeout: 150_000 }, async () => {
    await scene.client.create(backups, {
      apiVersion: "velero.io/v1",
      kind: "Backup",
      metadata: { name: "zoo", namespace },
      spec: { includedNamespaces: [zoo], snapshotVolumes: false },
    });
    await until(async () =>
      (await scene.backup("zoo"))?.status?.phase === "Completed" ? true : undefined,
    );
    const all = Object.entries(restoreQuestions);
    for (const [name, spec] of all) restored[name] = await bringBack(`theirs-${name}`, spec);
    await server[Symbol.asyncDispose]();
    scene.startControllers();
    for (const [name, spec] of all)
      expect(await bringBack(`ours-${name}`, spec), name).toEqual(restored[name]);
    expect(Object.keys(restored["all"]?.objects ?? {}).length).toBeGreaterThan(18);
  });
});
