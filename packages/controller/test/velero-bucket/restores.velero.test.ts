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
  "status-of-all": { restoreStatus: { includedResources: ["*"], excludedResources: ["pods"] } },
  again: {},
  "again-update": { existingResourcePolicy: "update" },
};
/** These go where the first one has been, and something has changed since. */
const into = (name: string): string => (name.startsWith("again") ? "all" : name);
type Side = "theirs" | "ours";

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

  /** Restores the zoo into a namespace of its own; what came of it. */
  async function bringBack(side: Side, question: string, spec: object) {
    const name = `${side}-${question}`;
    const target = `${side}-${into(question)}`;
    const metadata = { name, namespace };
    if (target !== name) changeSomething(target);
    await scene.client.create(restores, {
      apiVersion: "velero.io/v1",
      kind: "Restore",
      metadata,
      spec: { backupName: "zoo", namespaceMapping: { [zoo]: target }, ...spec },
    } as Restore);
    const { status } = (await until(async () => {
      const found = await scene.client.get(restores, metadata);
      return /^(Completed|PartiallyFailed|Failed.*)$/.test(found?.status?.phase ?? "")
        ? found
        : undefined;
    })) as Restore;
    const read = async (file: string): Promise<unknown> => {
      const key = `velero/restores/${name}/restore-${name}-${file}.gz`;
      const text = unzipped((await scene.s3.bucket(bucket).read(key)) ?? new Uint8Array());
      // Ours says what it was about to do, too.
      return JSON.parse(text.replaceAll(`${side}-`, "").replace(/create \S+ \S+: /g, ""));
    };
    return {
      phase: status?.phase,
      warnings: status?.warnings ?? 0,
      errors: status?.errors ?? 0,
      results: await read("results"),
      list: await read("resource-list.json"),
      objects: stableObjects(scene, target, side),
    };
  }
  const restored: Record<string, Awaited<ReturnType<typeof bringBack>>> = {};

  function changeSomething(target: string): void {
    const { cluster } = scene.server;
    cluster.modify("configmaps", target, "settings", (object) => {
      object["data"] = { a: "2", b: "3" };
    });
    cluster.modify("deployments.apps", target, "web", ({ spec }) => {
      spec.replicas = 5;
    });
    cluster.delete("secrets", target, "pull");
    cluster.delete("networkpolicies.networking.k8s.io", target, "closed");
  }

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
    for (const [name, spec] of all) restored[name] = await bringBack("theirs", name, spec);
    await server[Symbol.asyncDispose]();
    scene.startControllers();
    for (const [name, spec] of all) {
      const ours = await bringBack("ours", name, spec);
      const theirs = restored[name];
      if (into(name) === name) expect(ours, name).toEqual(theirs);
      else {
        // What Velero takes for different since it has changed it itself is no warning of ours.
        // An account that stays as it is keeps the name of the first Restore there, and gets that of the last one here.
        const account = { "serviceaccounts/robot": expect.anything() };
        expect(ours.objects, name).toEqual({ ...theirs?.objects, ...account });
        expect(ours.phase, name).toBe(theirs?.phase);
        expect(ours.warnings, name).toBeLessThanOrEqual(theirs?.warnings ?? 0);
      }
    }
    expect(Object.keys(restored["all"]?.objects ?? {}).length).toBeGreaterThan(18);
  });
});
