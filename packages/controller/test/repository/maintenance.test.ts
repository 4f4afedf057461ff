// Maintenance as Jobs: made when due and one at a time, run alone under a lease, remembered with their results, removed when old. The
// kubelet is played by the test, which runs the process of a Job here.
import { manualClock, nsPerMs, silentLogger } from "@dm/core";
import { type BackupRepository, backupRepositories, type Job, jobs, leases } from "@dm/crds";
import { connectOrCreateVeleroRepository, openVeleroStore } from "@dm/snapshot/velero";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  type RepositoryDeps,
  reconcileBackupRepository,
} from "../../src/repository/reconcile-backup-repository.ts";
import {
  type MaintenanceEnd,
  maintenanceSettings,
  runMaintenance,
} from "../../src/repository/run-maintenance.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { MoverWorld, operator, password, shop } from "../mover/mover-world.ts";

const hourMs = 3_600_000;
const key = { namespace: operator, name: `${shop}-default-kopia` };

let world: MoverWorld;
let client: NodeKubeClient;
const clock = manualClock(0n);
let deps: RepositoryDeps;
beforeEach(async () => {
  clock.set(BigInt(Date.parse("2026-11-25T12:00:00Z")) * nsPerMs);
  world = await MoverWorld.start();
  await world.makeRepository();
  client = nodeKubeClient({ kubeconfig: world.kubeconfig });
  world.api.create("deployments.apps", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "dm-server", namespace: operator },
    spec: {
      selector: { matchLabels: { app: "dm" } },
      template: {
        metadata: { labels: { app: "dm" } },
        spec: {
          serviceAccountName: "dm-server",
          containers: [
            {
              name: "server",
              image: "dm",
              args: ["server", "--log-level=debug"],
              env: [{ name: "KOPIA_HASHING_ALGORITHM", value: "BLAKE3-256" }],
              volumeMounts: [{ name: "scratch", mountPath: "/scratch" }],
            },
          ],
          volumes: [{ name: "scratch", emptyDir: {} }],
        },
      },
    },
  });
  deps = {
    client,
    clock,
    logger: silentLogger,
    environment: {},
    serverDeployment: "dm-server",
  };
});
afterEach(async () => {
  client.close();
  await world[Symbol.asyncDispose]();
});

async function reconcile(): Promise<BackupRepository> {
  await reconcileBackupRepository(deps, key);
  return (await client.get(backupRepositories, key)) as BackupRepository;
}

const allJobs = async (): Promise<Job[]> =>
  (await client.list(jobs, { namespace: operator })).items;

async function unfinishedJob(): Promise<Job> {
  const unfinished = (await allJobs()).filter(
    ({ status }) => !status?.succeeded && !status?.failed,
  );
  if (unfinished.length !== 1) throw new Error(`${unfinished.length} Jobs are unfinished`);
  return unfinished[0]!;
}

const processOf = (job: Job, more: Partial<Parameters<typeof runMaintenance>[1]> = {}) => {
  const [role, ...args] = job.spec.template.spec.containers[0]!.args!;
  expect(role).toBe("maintenance");
  const settings = maintenanceSettings(args.filter((arg) => !arg.startsWith("--termination-log")));
  return runMaintenance({ ...settings, namespace: operator }, { client, ...more });
};

/** As kubelet and Job controller would. */
function end(job: Job, { exitCode, message }: MaintenanceEnd): void {
  const { name = "" } = job.metadata;
  const time = new Date(Number(clock.nowNs() / nsPerMs)).toISOString().replace(/\.\d+Z/, "Z");
  const container = job.spec.template.spec.containers[0]!.name;
  world.api.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `${name}-x`, namespace: operator, labels: { "job-name": name } },
    spec: { containers: [{ name: container, image: "dm" }] },
  });
  const status = { subresource: "status" } as const;
  world.api.modify(
    "pods",
    operator,
    `${name}-x`,
    (pod) => {
      const terminated = { exitCode, message };
      pod["status"] = { containerStatuses: [{ name: container, state: { terminated } }] };
    },
    status,
  );
  world.api.modify(
    "jobs.batch",
    operator,
    name,
    (stored) => {
      const type = exitCode === 0 ? "Complete" : "Failed";
      stored["status"] = {
        startTime: time,
        ...(exitCode === 0 ? { succeeded: 1, completionTime: time } : { failed: 1 }),
        conditions: [{ type, status: "True", lastTransitionTime: time }],
      };
    },
    status,
  );
}

it("is made when it is due, after the server, one at a time, and remembered", async () => {
  const ready = await reconcile();
  expect(ready.status).toMatchObject({ phase: "Ready" });
  await reconcile();
  expect(await allJobs()).toEqual([]);
  clock.advance(hourMs + 1_000);
  await reconcile();
  await reconcile();
  const job = await unfinishedJob();
  expect(job.metadata.name).toMatch(/^shop-default-kopia-maintain-job-\d{13}$/);
  expect(job.metadata.labels).toEqual({ "velero.io/repo-name": "shop-default-kopia" });
  expect(job.spec.backoffLimit).toBe(0);
  expect(job.spec.template.spec).toMatchObject({
    serviceAccountName: "dm-server",
    restartPolicy: "Never",
    containers: [
      {
        name: "velero-repo-maintenance-container",
        image: "dm",
        args: [
          "maintenance",
          "--repo-name=shop",
          "--repo-type=kopia",
          "--backup-storage-location=default",
          "--termination-log=/dev/termination-log",
          "--log-level=debug",
        ],
        env: [{ name: "KOPIA_HASHING_ALGORITHM", value: "BLAKE3-256" }],
        volumeMounts: [{ name: "scratch", mountPath: "/scratch" }],
      },
    ],
    volumes: [{ name: "scratch" }],
  });
  const result = await processOf(job);
  expect(result).toEqual({ exitCode: 0, message: "" });
  end(job, result);
  const { status } = await reconcile();
  expect(status).toMatchObject({
    phase: "Ready",
    lastMaintenanceTime: "2026-11-25T13:00:01Z",
    recentMaintenance: [
      {
        result: "Succeeded",
        startTimestamp: "2026-11-25T13:00:01Z",
        completeTimestamp: "2026-11-25T13:00:01Z",
      },
    ],
  });
  expect((await reconcile()).status).toEqual(status);
});

it("makes the Job as a ConfigMap wants it, and tells of what is wrong in that", async () => {
  const told: unknown[] = [];
  deps = {
    ...deps,
    maintenanceConfigMap: "maintenance",
    logger: { ...silentLogger, warn: (_, fields) => told.push(fields?.["warnings"]) },
  };
  world.api.create("configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "maintenance", namespace: operator },
    data: {
      global: JSON.stringify({
        podResources: { cpuRequest: "50m", memoryLimit: "much" },
        loadAffinity: [{ nodeSelector: { matchLabels: { disk: "ssd" } } }],
      }),
    },
  });
  await reconcile();
  clock.advance(hourMs);
  await reconcile();
  const { spec } = (await unfinishedJob()).spec.template;
  expect(spec.containers[0]?.resources).toEqual({ requests: { cpu: "50m" } });
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  expect(terms?.[0]?.matchExpressions?.[0]).toMatchObject({ key: "disk", values: ["ssd"] });
  expect(told).toEqual([['global: ignored podResources.memoryLimit: "much" is no quantity']]);
});

it("row 75: a Job that fails is remembered with its reason; the repository stays Ready, and is not asked again at once", async () => {
  await reconcile();
  clock.advance(hourMs);
  await reconcile();
  end(await unfinishedJob(), {
    exitCode: 1,
    message: "noise\nRepo maintenance error: no route to static-passw0rd",
  });
  const { status } = await reconcile();
  expect(status?.phase).toBe("Ready");
  expect(status?.recentMaintenance).toMatchObject([
    { result: "Failed", message: "no route to ***" },
  ]);
  clock.advance(hourMs / 2);
  await reconcile();
  expect((await allJobs()).length).toBe(1);
  clock.advance(hourMs / 2);
  await reconcile();
  expect((await allJobs()).length).toBe(2);
});

it("keeps three Jobs and 25 records", async () => {
  await reconcile();
  for (let run = 0; run < 27; run++) {
    clock.advance(hourMs);
    await reconcile();
    end(await unfinishedJob(), { exitCode: 0, message: "" });
    await reconcile();
    expect((await allJobs()).length).toBe(Math.min(run + 1, 3));
  }
  const recent = (await reconcile()).status?.recentMaintenance ?? [];
  expect(recent.length).toBe(25);
  expect(recent[0]?.startTimestamp).toBe("2026-11-25T15:00:00Z");
  expect(recent.at(-1)?.startTimestamp).toBe("2026-11-26T15:00:00Z");
});

it("of two controllers that find it due, one makes the Job", async () => {
  await reconcile();
  clock.advance(hourMs);
  await Promise.all([reconcileBackupRepository(deps, key), reconcileBackupRepository(deps, key)]);
  expect((await allJobs()).length).toBe(1);
});

it("row 70: there is none in a location that may only be read", async () => {
  await reconcile();
  world.api.modify("backupstoragelocations.velero.io", operator, "default", (object) => {
    object["spec"].accessMode = "ReadOnly";
  });
  clock.advance(2 * hourMs);
  expect((await reconcile()).status?.phase).toBe("Ready");
  expect(await allJobs()).toEqual([]);
});

it("of two processes for one repository one runs, the other leaves it to that", async () => {
  await reconcile();
  clock.advance(hourMs);
  await reconcile();
  const job = await unfinishedJob();
  const told: string[] = [];
  const logger = { ...silentLogger, info: (message: string) => void told.push(message) };
  const ends = await Promise.all([processOf(job, { logger }), processOf(job, { logger })]);
  expect(ends.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  const ran = told.filter((message) => message === "Maintained repository").length;
  const left = told.filter((message) => message === "Left maintenance to another process").length;
  expect(ran).toBeGreaterThanOrEqual(1);
  expect(ran + left).toBe(2);
  const { items } = await client.list(leases, { namespace: operator });
  expect(items.map(({ metadata }) => metadata.name)).toEqual([
    expect.stringMatching(/^dm-maintenance-[0-9a-f]{32}$/),
  ]);
});

it("row 74: maintenance that a user took over fails with the owner's name, and works again when it is given back", async () => {
  await reconcile();
  clock.advance(hourMs);
  await reconcile();
  const job = await unfinishedJob();
  const give = async (owner: string): Promise<void> => {
    const store = await openVeleroStore(world.location, shop);
    await using repository = await connectOrCreateVeleroRepository(store, { password });
    const { defaultMaintenanceParameters, writeMaintenanceParameters } = await import("@dm/repo");
    await using session = await repository.openWriteSession();
    await writeMaintenanceParameters(session, defaultMaintenanceParameters(owner));
    await session.commit();
  };
  await give("me@laptop");
  const refused = await processOf(job);
  expect(refused.exitCode).toBe(1);
  expect(refused.message).toMatch(/^Repo maintenance error: .*me@laptop/);
  await give("default@default");
  expect((await processOf(job)).exitCode).toBe(0);
});

it("a wrong password fails it, and is not told", async () => {
  await reconcile();
  clock.advance(hourMs);
  await reconcile();
  world.setPassword("another-password");
  const refused = await processOf(await unfinishedJob());
  expect(refused.exitCode).toBe(1);
  expect(refused.message).not.toMatch(/another-password|static-passw0rd/);
});
