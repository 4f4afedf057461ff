/**
 * No right of the operator too many, and none missing: as its account it makes, changes and removes everything that an application may
 * want, and is refused nothing; with any verb of any rule taken away it is. Two verbs, chosen by DM_SEED, in the plain run; all of them
 * with DM_FULL=1. There are no nodes here: what it makes is played by data-protection-application.test.ts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { addApplicationController } from "@dm/controller";
import { createManager, nodeKubeClient } from "@dm/controller/runtime";
import type { KubeObject } from "@dm/crds";
import { type Cluster, type StoredObject, startCluster } from "@dm/testbed";
import { afterAll, expect, it } from "vitest";
import { applyObjects } from "../src/demo/install.ts";
import { readManifests } from "../src/manifests.ts";
import { namespace } from "./oadp-scene.ts";

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}
interface Role extends KubeObject {
  readonly rules: readonly Rule[];
}
const isOurs = (object: KubeObject): object is Role =>
  "rules" in object && object.metadata.name === "dm-operator";

/** Asked for by an admission plugin that is not on everywhere, and not here. */
const unseen = "dataprotectionapplications/finalizers";
const manifests = readManifests("overlays/operator");
const verbs = manifests
  .filter(isOurs)
  .flatMap(({ rules }) => rules)
  .flatMap(({ resources, verbs: all }) =>
    resources.flatMap((resource) =>
      resource === unseen
        ? []
        : all.map((verb) => ({ title: `${verb} ${resource}`, resource, verb })),
    ),
  );
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
console.log(`DM_SEED=${seed}`);
const chosen = process.env["DM_FULL"]
  ? verbs
  : [seed, seed + 17].map((at) => verbs[at % verbs.length]!);

function without(objects: readonly KubeObject[], resource: string, verb: string): KubeObject[] {
  return objects.map((object) => {
    if (!isOurs(object)) return object;
    const rules = object.rules.flatMap((rule) => {
      if (!rule.resources.includes(resource)) return [rule];
      const others = rule.resources.filter((one) => one !== resource);
      return [
        { ...rule, resources: others },
        { ...rule, resources: [resource], verbs: rule.verbs.filter((one) => one !== verb) },
      ].filter((one) => one.resources.length > 0 && one.verbs.length > 0);
    });
    return { ...object, rules };
  });
}

const folder = mkdtempSync(join(tmpdir(), "dm-operator-rights-"));
afterAll(() => rmSync(folder, { recursive: true }));

const location = (prefix: string) => ({
  provider: "aws",
  objectStorage: { bucket: "backups", prefix },
  config: { region: "us-east-1" },
  credential: { name: "cloud-credentials", key: "cloud" },
});
const application = {
  apiVersion: "oadp.openshift.io/v1alpha1",
  kind: "DataProtectionApplication",
  metadata: { name: "dpa", namespace },
  spec: {
    configuration: {
      nodeAgent: { enable: true, uploaderType: "kopia", loadConcurrency: { globalConfig: 1 } },
      velero: { defaultPlugins: ["aws", "csi"] },
    },
    backupLocations: [
      { name: "first", velero: { ...location("a"), default: true } },
      { name: "second", velero: location("b") },
    ],
    snapshotLocations: [
      { name: "here", velero: { provider: "aws", config: { region: "us-east-1" } } },
    ],
  },
};

class Refused extends Error {}

/** Everything that an application's life may want. @throws {Refused} as soon as somebody was refused */
async function play(cluster: Cluster, isRefused: () => boolean): Promise<void> {
  const { api } = cluster;
  const dpas = "dataprotectionapplications.oadp.openshift.io";
  const get = (kind: string, name: string): StoredObject | undefined =>
    api.get(kind, namespace, name);
  const until = async (what: string, isSo: () => boolean): Promise<void> => {
    for (let tries = 0; !isSo(); tries++) {
      if (isRefused()) throw new Refused();
      if (tries > 400)
        throw new Error(`waited in vain: ${what}: ${JSON.stringify(get(dpas, "dpa")?.status)}`);
      await sleep(25);
    }
  };
  const reconciled = (status: string) => (): boolean => {
    const dpa = get(dpas, "dpa");
    const condition = dpa?.status?.conditions?.[0];
    return condition?.status === status;
  };
  const change = (edit: (spec: StoredObject["spec"]) => void): void =>
    void api.modify(dpas, namespace, "dpa", ({ spec }) => edit(spec));

  api.create(dpas, structuredClone(application) as never);
  await until("refusal without credentials", reconciled("False"));
  // As another release may have made it: which pods a Deployment has cannot be changed.
  api.create("deployments.apps", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "velero",
      namespace,
      ownerReferences: [
        {
          apiVersion: application.apiVersion,
          kind: application.kind,
          name: "dpa",
          uid: get(dpas, "dpa")?.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: {
      selector: { matchLabels: { release: "old" } },
      template: {
        metadata: { labels: { release: "old" } },
        spec: { containers: [{ name: "velero", image: "old" }] },
      },
    },
  } as never);
  api.create("secrets", {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "cloud-credentials", namespace, labels: { "openshift.io/oadp": "True" } },
    data: {
      cloud: Buffer.from("[default]\naws_access_key_id=a\naws_secret_access_key=b\n").toString(
        "base64",
      ),
    },
  } as never);
  await until("the application", reconciled("True"));
  for (const prefix of ["c", "d"]) {
    change((spec) => {
      spec.backupLocations[0].velero.objectStorage.prefix = prefix;
      spec.snapshotLocations[0].velero.config.region = `eu-${prefix}`;
      spec.configuration.velero.logLevel = prefix === "c" ? "debug" : "info";
      spec.configuration.nodeAgent.loadConcurrency.globalConfig += 1;
    });
    const bsl = "backupstoragelocations.velero.io";
    await until("a change", () => get(bsl, "first")?.spec.objectStorage.prefix === prefix);
    const log = `--log-level=${prefix === "c" ? "debug" : "info"}`;
    await until("the server's change", () =>
      JSON.stringify(get("deployments.apps", "velero")?.spec).includes(log),
    );
  }
  // Somebody has changed what is the operator's.
  api.modify("services", namespace, "openshift-adp-velero-metrics-svc", ({ metadata }) => {
    metadata.labels = { "openshift.io/oadp": "False" };
  });
  await until(
    "the service to be mended",
    () =>
      get("services", "openshift-adp-velero-metrics-svc")?.metadata.labels?.[
        "openshift.io/oadp"
      ] === "True",
  );
  change((spec) => {
    spec.backupLocations.splice(1);
    spec.snapshotLocations.splice(0);
    spec.configuration.nodeAgent.enable = false;
    spec.configuration.nodeAgent.loadConcurrency = undefined;
  });
  await until("what is wanted no more to go", () =>
    [
      get("backupstoragelocations.velero.io", "second"),
      get("volumesnapshotlocations.velero.io", "here"),
      get("daemonsets.apps", "node-agent"),
      get("configmaps", "node-agent-dpa"),
    ].every((one) => one === undefined),
  );
  change((spec) => {
    spec.backupLocations = [
      { bucket: { cloudStorageRef: { name: "none" }, prefix: "x", default: true } },
    ];
  });
  await until("refusal of a bucket that is not there", reconciled("False"));
}

/** @returns who was refused what. */
async function refusals(objects: readonly KubeObject[]): Promise<string[]> {
  const cluster = await startCluster({ csi: false, nodes: [] });
  const admin = nodeKubeClient({ kubeconfig: cluster.kubeconfig });
  const kubeconfig = join(folder, "kubeconfig");
  const stop = new AbortController();
  const denied: string[] = [];
  const look = (): boolean => {
    for (const { resource, user, verb } of cluster.server.denied)
      denied.push(`${user} ${verb} ${resource}`);
    return denied.length > 0;
  };
  try {
    await applyObjects(admin, objects, { signal: AbortSignal.timeout(20_000) });
    const serviceAccount = { namespace, name: "dm-operator" };
    await cluster.server.kubeconfig(kubeconfig, { serviceAccount });
    const client = nodeKubeClient({ kubeconfig });
    const manager = createManager({
      client,
      leader: { namespace, name: "dm-operator", identity: "one" },
    });
    const findBucketRegion = async () => undefined;
    addApplicationController(manager, { client, namespace, findBucketRegion, retryMs: 200 });
    const running = manager.run(stop.signal).catch(() => {});
    await play(cluster, look).catch((error: unknown) => {
      if (!(error instanceof Refused)) throw error;
    });
    stop.abort(new Error("the test has ended"));
    await running;
    look();
    client.close();
    return denied;
  } finally {
    stop.abort();
    admin.close();
    await cluster.close();
  }
}

it("has all rights that it needs", { timeout: 60_000 }, async () => {
  expect(await refusals(manifests)).toEqual([]);
});

it.each(chosen)("needs to $title", { timeout: 60_000 }, async ({ resource, verb }) => {
  const denied = await refusals(without(manifests, resource, verb));
  expect(denied).toContainEqual(
    expect.stringMatching(`dm-operator ${verb} ${resource.split("/")[0]}`),
  );
});
