// An application on the embedded API server: what is made, what is told, what changes, what goes, and what is left alone.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { kubeError } from "../../src/runtime/kube-errors.ts";
import { application, awsLocation, cloudCredentials, namespace, secret } from "./samples.ts";
import { ApplicationWorld, type Kind, kinds } from "./world.ts";

let world: ApplicationWorld;
beforeEach(async () => {
  world = await ApplicationWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const owned = ["locations", "deployments", "daemonSets", "services"] as const;

describe("an application", () => {
  it("becomes objects that it owns, and tells", async () => {
    world.install();
    expect(await world.reconcile()).toEqual({});
    expect(world.names("locations")).toEqual(["dpa-1"]);
    expect(world.names("deployments")).toEqual(["velero"]);
    expect(world.names("daemonSets")).toEqual(["node-agent"]);
    expect(world.names("services")).toEqual(["openshift-adp-velero-metrics-svc"]);
    expect(world.names("configMaps")).toEqual([]);
    const { uid } = world.get("applications", "dpa").metadata;
    for (const kind of owned)
      for (const name of world.names(kind))
        expect(world.get(kind, name).metadata.ownerReferences).toEqual([
          {
            apiVersion: "oadp.openshift.io/v1alpha1",
            kind: "DataProtectionApplication",
            name: "dpa",
            uid,
            controller: true,
          },
        ]);
    expect(world.events.filter(({ type }) => type === "Normal")).toEqual([
      {
        object: "secrets/cloud-credentials",
        type: "Normal",
        reason: "SecretLabelled",
        message: "Secret cloud-credentials has been labelled",
      },
      {
        object: "backupstoragelocations/dpa-1",
        type: "Normal",
        reason: "BackupStorageLocationReconciled",
        message: "performed created on backupstoragelocation openshift-adp/dpa-1",
      },
      {
        object: "deployments/velero",
        type: "Normal",
        reason: "VeleroDeploymentReconciled",
        message: "performed created on velero deployment openshift-adp/velero",
      },
      {
        object: "daemonsets/node-agent",
        type: "Normal",
        reason: "NodeAgentDaemonsetReconciled",
        message: "performed created on NodeAgent deployment openshift-adp/node-agent",
      },
      {
        object: "services/openshift-adp-velero-metrics-svc",
        type: "Normal",
        reason: "VeleroMetricsServiceReconciled",
        message:
          "performed created on dpa metrics service openshift-adp/openshift-adp-velero-metrics-svc",
      },
    ]);
  });

  it("is written once: a second look changes nothing and tells nothing", async () => {
    world.install(
      application(
        { snapshotLocations: [{ velero: { provider: "aws", config: { region: "r" } } }] },
        {
          velero: {
            defaultPlugins: ["aws", "csi"],
            restoreResourcesVersionPriority: "cronjobs=v1",
            podConfig: {
              env: [{ name: "EMPTY", value: "" }],
              resourceAllocations: { limits: { cpu: "1000m" } },
              tolerations: [{ key: "infra", operator: "Exists" }],
            },
          },
          agent: { cacheLimitMB: 0, loadConcurrency: { globalConfig: 1 } },
          repositoryMaintenance: { global: { podResources: { cpuRequest: "1" } } },
        },
      ),
    );
    await world.reconcile();
    const time = world.condition()["lastTransitionTime"];
    world.events.length = 0;
    world.writes.length = 0;
    world.clock.advance(60_000);
    await world.reconcile();
    expect(world.writes).toEqual([]);
    expect(world.events).toEqual([]);
    expect(world.condition()["lastTransitionTime"]).toBe(time);
  });

  it("moves the time of its condition with the status only", async () => {
    world.install(application(), []);
    await world.reconcile();
    expect(world.condition()["lastTransitionTime"]).toBe("2026-11-25T12:00:00Z");
    world.clock.advance(1_000);
    world.change("dpa", ({ spec }) => {
      spec.backupLocations = [];
    });
    await world.reconcile();
    expect(world.condition()).toMatchObject({
      status: "False",
      lastTransitionTime: "2026-11-25T12:00:00Z",
      message: expect.stringContaining("no backupstoragelocations configured"),
    });
    world.create(kinds.secrets, cloudCredentials);
    world.change("dpa", ({ spec }) => {
      spec.backupLocations = [{ velero: awsLocation }];
    });
    await world.reconcile();
    expect(world.condition()).toMatchObject({
      status: "True",
      lastTransitionTime: "2026-11-25T12:00:01Z",
    });
  });

  it("takes away what it wants no more", async () => {
    const { default: _, ...notDefault } = awsLocation;
    world.install(
      application(
        {
          backupLocations: [{ velero: awsLocation }, { name: "second", velero: notDefault }],
          snapshotLocations: [{ velero: { provider: "aws", config: { region: "r" } } }],
        },
        {
          velero: { defaultPlugins: ["aws"], restoreResourcesVersionPriority: "x" },
          agent: { cacheLimitMB: 1, loadConcurrency: { globalConfig: 1 } },
          repositoryMaintenance: { global: {} },
        },
      ),
    );
    await world.reconcile();
    expect(world.names("locations")).toEqual(["dpa-1", "second"]);
    expect(world.names("snapshotLocations")).toEqual(["dpa-1"]);
    expect(world.names("configMaps")).toEqual([
      "backup-repository-dpa",
      "enableapigroupversions",
      "node-agent-dpa",
      "repository-maintenance-dpa",
    ]);
    world.events.length = 0;
    world.change("dpa", (object) => {
      object.spec = application({}, { agent: { enable: false } }).spec;
    });
    await world.reconcile();
    expect(world.names("locations")).toEqual(["dpa-1"]);
    expect(world.names("snapshotLocations")).toEqual([]);
    expect(world.names("configMaps")).toEqual([]);
    expect(world.names("daemonSets")).toEqual([]);
    expect(world.reasons()).toEqual([
      "BackupStorageLocationDeleted",
      "VolumeSnapshotLocationDeleted",
      "VeleroDeploymentReconciled",
      "DeletedNodeAgentConfigMap",
      "DeletedBackupRepositoryConfigMap",
      "DeletedRepositoryMaintenanceConfigMap",
      "DeletedDaemonSet",
      "PluginsIgnored",
    ]);
    expect(world.events[0]?.message).toBe(
      "BackupStorageLocation second created by OADP in namespace openshift-adp was deleted as it was not in DPA spec.",
    );
  });

  it("puts back what somebody has changed or deleted, and leaves what it does not speak of", async () => {
    world.install();
    await world.reconcile();
    world.api.modify(kinds.deployments, namespace, "velero", ({ metadata, spec }) => {
      spec.template.spec.containers[0].args = ["server", "--log-level=debug"];
      spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"] = "now";
      metadata.labels = { ...metadata.labels, team: "storage" };
    });
    world.api.delete(kinds.daemonSets, namespace, "node-agent");
    world.api.modify(kinds.locations, namespace, "dpa-1", (object) => {
      object.spec.objectStorage.bucket = "elsewhere";
      object.status = { phase: "Available" };
    });
    await world.reconcile();
    expect(world.args("deployments", "velero")).toContain("--deployment=velero");
    expect(world.get("deployments", "velero").metadata.labels?.["team"]).toBe("storage");
    expect(world.names("daemonSets")).toEqual(["node-agent"]);
    expect(world.get("locations", "dpa-1")).toMatchObject({
      spec: { objectStorage: { bucket: "backups" } },
      status: { phase: "Available" },
    });
  });

  it("removes fields that it wants no more", async () => {
    world.install(
      application({}, { velero: { podConfig: { tolerations: [{ operator: "Exists" }] } } }),
    );
    await world.reconcile();
    const pod = () => world.get("deployments", "velero").spec.template.spec;
    expect(pod().tolerations).toEqual([{ operator: "Exists" }]);
    world.change("dpa", ({ spec }) => {
      spec.configuration.velero.podConfig = undefined;
    });
    await world.reconcile();
    expect(pod().tolerations).toBeUndefined();
  });

  it("tells a warning again after it was mended", async () => {
    world.install(application({}, { agent: { uploaderType: "restic" } }));
    const use = async (uploaderType: string) => {
      world.change("dpa", ({ spec }) => {
        spec.configuration.nodeAgent.uploaderType = uploaderType;
      });
      await world.reconcile();
    };
    for (const type of ["restic", "restic", "kopia", "restic"]) await use(type);
    const told = world.reasons().filter((one) => one === "DeprecationResticFileSystemBackup");
    expect(told).toHaveLength(2);
  });

  it("asks where a bucket lies when its location does not say", async () => {
    world.install(
      application({
        backupLocations: [{ velero: { ...awsLocation, config: { profile: "default" } } }],
      }),
    );
    await world.reconcile();
    expect(world.condition()["message"]).toContain("not automatically discoverable");
    world.regions.set("backups", "eu-central-1");
    await world.reconcile();
    expect(world.condition()["status"]).toBe("True");
  });
});

describe("what belongs to others", () => {
  it("a server of somebody else is named and left alone", async () => {
    world.install();
    const other = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "velero", namespace, labels: { mine: "yes" } },
      spec: {
        selector: { matchLabels: { mine: "yes" } },
        template: {
          metadata: { labels: { mine: "yes" } },
          spec: { containers: [{ name: "velero", image: "velero/velero" }] },
        },
      },
    };
    world.create(kinds.deployments, other);
    expect(await world.reconcile()).toEqual({ requeueAfterMs: 30_000 });
    expect(world.condition()).toMatchObject({
      status: "False",
      message: "Deployment openshift-adp/velero was not made for this application; remove it first",
    });
    expect(world.get("deployments", "velero").metadata.labels).toEqual({ mine: "yes" });
    expect(world.names("daemonSets")).toEqual([]);
  });

  it("an object with another controller is refused", async () => {
    world.install();
    world.create(kinds.locations, {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: {
        name: "dpa-1",
        namespace,
        ownerReferences: [
          { apiVersion: "v1", kind: "ConfigMap", name: "boss", uid: "u", controller: true },
        ],
      },
      spec: { provider: "aws", objectStorage: { bucket: "b" } },
    });
    await world.reconcile();
    expect(world.condition()["message"]).toBe(
      "Object openshift-adp/dpa-1 is already owned by another ConfigMap controller boss",
    );
  });

  it("a location that nobody owns is taken over, with its status", async () => {
    world.install();
    world.create(kinds.locations, {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: "dpa-1", namespace },
      spec: { provider: "aws", objectStorage: { bucket: "old" } },
      status: { phase: "Available" },
    });
    await world.reconcile();
    expect(world.get("locations", "dpa-1")).toMatchObject({
      metadata: { labels: { "app.kubernetes.io/component": "bsl" } },
      spec: { objectStorage: { bucket: "backups" } },
      status: { phase: "Available" },
    });
  });

  it("a server whose selector is an older one is made anew", async () => {
    world.install();
    await world.reconcile();
    const { uid } = world.get("deployments", "velero").metadata;
    world.api.delete(kinds.deployments, namespace, "velero");
    const old = { component: "velero" };
    world.create(kinds.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: {
        name: "velero",
        namespace,
        labels: { "app.kubernetes.io/managed-by": "oadp-operator" },
      },
      spec: {
        selector: { matchLabels: old },
        template: {
          metadata: { labels: old },
          spec: { containers: [{ name: "velero", image: "old" }] },
        },
      },
    });
    await world.reconcile();
    const server = world.get("deployments", "velero");
    expect(server.metadata.uid).not.toBe(uid);
    expect(server.spec.selector.matchLabels["app.kubernetes.io/instance"]).toBe("dpa");
  });

  it("settings for restores that an administrator made stay; those of OADP 1.4 go", async () => {
    world.install();
    const map = (labels: object) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "fs-restore-action-config", namespace, labels },
    });
    world.create(kinds.configMaps, map({ "velero.io/plugin-config": "" }));
    await world.reconcile();
    expect(world.names("configMaps")).toEqual(["fs-restore-action-config"]);
    world.api.delete(kinds.configMaps, namespace, "fs-restore-action-config");
    world.create(kinds.configMaps, map({ "openshift.io/oadp": "True" }));
    await world.reconcile();
    expect(world.names("configMaps")).toEqual([]);
    expect(world.reasons()).toContain("DeletedFsRestoreHelperConfigMap");
  });
});

describe("Secrets", () => {
  it("lose the labels when the application names another one, and when it goes", async () => {
    world.install(application(), [cloudCredentials, secret("mine", { file: "[default]\n" })]);
    await world.reconcile();
    const labels = (name: string) => world.get("secrets", name).metadata.labels ?? {};
    expect(labels("cloud-credentials")["dataprotectionapplication.name"]).toBe("dpa");
    world.change("dpa", ({ spec }) => {
      spec.backupImages = false;
      spec.backupLocations[0].velero.credential = { name: "mine", key: "file" };
    });
    await world.reconcile();
    expect(labels("cloud-credentials")).toEqual({});
    expect(labels("mine")["openshift.io/oadp"]).toBe("True");
    world.api.delete(kinds.applications, namespace, "dpa");
    await world.reconcile();
    expect(labels("mine")).toEqual({});
  });

  it("are never repeated in a message", async () => {
    const text = "[default]\naws_access_key_id=AKIASECRETID\n";
    world.install(application(), [secret("cloud-credentials", { cloud: text })]);
    await world.reconcile();
    expect(world.condition()["message"]).toContain("error finding secret access key");
    expect(JSON.stringify([world.condition(), world.events])).not.toContain("AKIASECRETID");
  });
});

describe("when something goes wrong", () => {
  it("an outage is no fault of the application: its condition stays, and the queue tries again", async () => {
    world.install();
    world.hook = () => {
      throw kubeError({ what: "create", httpStatus: 503, status: {} });
    };
    await expect(world.reconcile()).rejects.toThrow();
    expect(world.get("applications", "dpa").status).toBeUndefined();
  });

  it("somebody who was faster is no fault of the application either", async () => {
    world.install();
    await world.reconcile();
    world.change("dpa", ({ spec }) => {
      spec.logFormat = "json";
    });
    world.hook = (when, what) => {
      if (when === "before" && what === "replace deployments")
        world.api.modify(kinds.deployments, namespace, "velero", ({ metadata }) => {
          metadata.labels = { ...metadata.labels, faster: "yes" };
        });
    };
    await expect(world.reconcile()).rejects.toMatchObject({ code: "DM_KUBE_CONFLICT" });
    expect(world.condition()["status"]).toBe("True");
    world.hook = () => undefined;
    await world.reconcile();
    expect(world.args("deployments", "velero")).toContain("--log-format=json");
    expect(world.get("deployments", "velero").metadata.labels?.["faster"]).toBe("yes");
  });

  it("a step that is not allowed is the message, and the steps after it wait", async () => {
    world.install();
    await world.reconcile();
    world.change("dpa", ({ spec }) => {
      spec.configuration.nodeAgent.enable = false;
    });
    world.hook = (_, what) => {
      if (what === "delete daemonsets")
        throw kubeError({
          what: "delete daemonsets",
          httpStatus: 403,
          status: { reason: "Forbidden", message: "no right to delete it" },
        });
    };
    await world.reconcile();
    expect(world.condition()).toMatchObject({
      status: "False",
      message: expect.stringContaining("no right to delete it"),
    });
    expect(world.events.at(-1)).toMatchObject({
      object: "daemonsets/node-agent",
      reason: "DeleteDaemonSetFailed",
      message: expect.stringContaining("no right to delete it"),
    });
  });

  it("a process that dies at any write leaves nothing that the next one does not finish", async () => {
    const given = application(
      { snapshotLocations: [{ velero: { provider: "aws", config: { region: "r" } } }] },
      { agent: { cacheLimitMB: 1, loadConcurrency: { globalConfig: 1 } } },
    );
    const state = (of: ApplicationWorld): string =>
      JSON.stringify(
        (Object.keys(kinds) as Kind[]).flatMap((kind) =>
          of.api.list(kinds[kind], namespace).map(({ metadata, spec, status }) => {
            // The version of the configuration and the address of the Service are others each time.
            const text = JSON.stringify(spec ?? {})
              .replace(/"[^"]*cm-version":"\d+"/, "")
              .replaceAll(/"10(\.\d+){3}"/g, "");
            const conditions = status?.conditions?.map((one: { status: string }) => one.status);
            return [kind, metadata.name, metadata.labels, text, conditions];
          }),
        ),
      );
    world.install(given);
    await world.reconcile();
    const writes = world.writes.length;
    expect(writes).toBeGreaterThan(8);
    for (let at = 1; at <= writes; at++)
      for (const when of ["before", "after"] as const) {
        await using other = await ApplicationWorld.open();
        other.install(given);
        let seen = 0;
        other.hook = (now) => {
          if (now === when && ++seen === at) throw new Error("the process dies");
        };
        await expect(other.reconcile()).rejects.toThrow("the process dies");
        other.hook = () => undefined;
        await other.reconcile();
        expect(state(other)).toBe(state(world));
      }
  });
});
