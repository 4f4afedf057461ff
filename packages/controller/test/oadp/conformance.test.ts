// The rows of the conformance table that concern the administrator, on the embedded API server.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import { ensureRepository } from "../../src/repository/ensure-repository.ts";
import { maintenanceJob } from "../../src/repository/maintenance-job.ts";
import { application, awsLocation, cloudCredentials, namespace } from "./samples.ts";
import { ApplicationWorld, kinds } from "./world.ts";

let world: ApplicationWorld;
beforeEach(async () => {
  world = await ApplicationWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const complete = {
  type: "Reconciled",
  status: "True",
  reason: "Complete",
  message: "Reconcile complete",
};
const error = (message: unknown) => ({
  type: "Reconciled",
  status: "False",
  reason: "Error",
  message,
});

describe("the administrator's rows", () => {
  it("row 108: two applications are refused, both, until one goes", async () => {
    world.install();
    world.create(kinds.applications, { ...application(), metadata: { name: "two", namespace } });
    const text = "only one DPA CR can exist per OADP installation namespace";
    for (const name of ["dpa", "two"]) {
      expect(await world.reconcile(name)).toEqual({ requeueAfterMs: 30_000 });
      expect(world.condition(name)).toMatchObject(error(text));
    }
    expect(world.names("deployments")).toEqual([]);
    world.api.delete(kinds.applications, namespace, "two");
    await world.reconcile();
    expect(world.condition()).toMatchObject(complete);
  });

  it("row 109: a Secret that is missing is waited for", async () => {
    world.install(application(), []);
    expect(await world.reconcile()).toEqual({ requeueAfterMs: 30_000 });
    expect(world.condition()).toMatchObject(
      error(expect.stringMatching(/"cloud-credentials" not found$/)),
    );
    expect(world.names("deployments")).toEqual([]);
    world.create(kinds.secrets, cloudCredentials);
    expect(await world.reconcile()).toEqual({});
    expect(world.condition()).toMatchObject(complete);
    expect(world.get("secrets", "cloud-credentials").metadata.labels).toEqual({
      "openshift.io/oadp": "True",
      "dataprotectionapplication.name": "dpa",
    });
  });

  it("row 110: one location is the default, no more and no less", async () => {
    const { default: _, ...notDefault } = awsLocation;
    world.install(application({ backupLocations: [{ velero: notDefault }] }));
    await world.reconcile();
    expect(world.condition()).toMatchObject(
      error(
        "no default backupstoragelocations configured, ensure that one backupstoragelocation has been configured as the default location",
      ),
    );
    world.change("dpa", ({ spec }) => {
      spec.backupLocations = [{ velero: awsLocation }, { velero: awsLocation }];
    });
    await world.reconcile();
    expect(world.condition()).toMatchObject(error("Only one Storage Location be set as default"));
  });

  it("row 111: restic is for files of pods; volumes are moved with Kopia, and that it is old is told once", async () => {
    world.install(application({}, { agent: { uploaderType: "restic" } }));
    for (let times = 0; times < 3; times++) await world.reconcile();
    expect(world.condition()).toMatchObject(complete);
    expect(world.args("deployments", "velero")).toContain("--uploader-type=restic");
    expect(world.args("daemonSets", "node-agent").join(" ")).not.toContain("restic");
    const told = world.events.filter(({ type }) => type === "Warning");
    expect(told.map(({ object, reason }) => [object, reason])).toEqual([
      ["dataprotectionapplications/dpa", "DeprecationResticFileSystemBackup"],
      ["dataprotectionapplications/dpa", "PluginsIgnored"],
    ]);
    // What a mover asks for, whatever pods' files are backed up with.
    const wanted = {
      namespace,
      volumeNamespace: "shop",
      backupStorageLocation: "dpa-1",
      resourceTimeoutMs: 0,
    };
    await expect(ensureRepository(world.deps.client, wanted)).rejects.toThrow("not provisioned");
    expect(world.api.list("backuprepositories.velero.io").map(({ spec }) => spec)).toMatchObject([
      { repositoryType: "kopia", volumeNamespace: "shop" },
    ]);
  });

  it("row 112: csi among the plugins switches volume snapshots on", async () => {
    world.install(application({}, { velero: { defaultPlugins: ["aws", "csi"] } }));
    await world.reconcile();
    expect(world.args("deployments", "velero")).toContain("--features=EnableCSI");
    world.change("dpa", ({ spec }) => {
      spec.configuration.velero.defaultPlugins = ["aws"];
    });
    await world.reconcile();
    expect(world.args("deployments", "velero").join(" ")).not.toContain("--features");
  });

  it("row 113: algorithms reach those who make repositories, and nobody else", async () => {
    const env = [
      { name: "KOPIA_HASHING_ALGORITHM", value: "BLAKE3-256" },
      { name: "KOPIA_ENCRYPTION_ALGORITHM", value: "CHACHA20-POLY1305-HMAC-SHA256" },
      { name: "KOPIA_SPLITTER_ALGORITHM", value: "DYNAMIC-8M-RABINKARP" },
    ];
    world.install(
      application({}, { velero: { defaultPlugins: ["aws", "csi"], podConfig: { env } } }),
    );
    await world.reconcile();
    const server = world.get("deployments", "velero");
    const kopia = (all: { name: string }[]) => all.filter(({ name }) => name.startsWith("KOPIA_"));
    expect(kopia(server.spec.template.spec.containers[0].env)).toEqual(env);
    const job = maintenanceJob({
      repository: {
        metadata: { name: "shop-dpa-1-kopia", namespace },
        spec: { volumeNamespace: "shop", backupStorageLocation: "dpa-1", repositoryType: "kopia" },
      } as never,
      server: server as never,
      dueMs: 0,
      timeoutMs: 60_000,
    });
    expect(kopia(job.spec.template.spec.containers[0]?.env ?? [])).toEqual(env);
    const agent = world.get("daemonSets", "node-agent");
    expect(kopia(agent.spec.template.spec.containers[0].env)).toEqual([]);
    expect(kopia(hostingTemplateOf(agent as never).env)).toEqual([]);
  });

  it("row 114: a new configuration replaces the node agents", async () => {
    world.install(application({}, { agent: { loadConcurrency: { globalConfig: 2 } } }));
    await world.reconcile();
    const versionOf = () =>
      world.get("daemonSets", "node-agent").spec.template.metadata.labels[
        "openshift.io/node-agent-cm-version"
      ];
    const before = world.get("configMaps", "node-agent-dpa");
    expect(versionOf()).toBe(before.metadata.resourceVersion);
    expect(world.args("daemonSets", "node-agent")).toContain(
      "--node-agent-configmap=node-agent-dpa",
    );
    world.change("dpa", ({ spec }) => {
      spec.configuration.nodeAgent.loadConcurrency.globalConfig = 4;
    });
    await world.reconcile();
    const after = world.get("configMaps", "node-agent-dpa") as unknown as {
      data: Record<string, string>;
      metadata: { resourceVersion: string };
    };
    expect(JSON.parse(after.data["node-agent-config"] ?? "")).toEqual({
      loadConcurrency: { globalConfig: 4 },
    });
    expect(versionOf()).toBe(after.metadata.resourceVersion);
    expect(versionOf()).not.toBe(before.metadata.resourceVersion);
    expect(world.reasons()).toEqual(
      expect.arrayContaining(["CreatedNodeAgentConfigMap", "UpdatedNodeAgentConfigMap"]),
    );
  });

  it("row 115: the VolSync data mover is refused with what to do", async () => {
    world.install(application({ features: { dataMover: { enable: true } } }));
    await world.reconcile();
    expect(world.condition()).toMatchObject(
      error(
        "Delete vsm from spec.configuration.velero.defaultPlugins and dataMover object from spec.features. Use Velero Built-in Data Mover instead",
      ),
    );
  });
});
