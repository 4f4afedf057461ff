/** What is looked at, in the API server of the testbed: chains from each kind, and what may not be read. */
import { AccessError } from "@dm/core";
import { createApiServer } from "@dm/testbed";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { gather } from "../../src/why/gather.ts";
import { titleOf } from "../../src/why/seen.ts";
import { parseSubject, subjectKinds } from "../../src/why/subjects.ts";
import { clusterClient } from "../expose/cluster-client.ts";
import { scene } from "./scene.ts";

let server: Awaited<ReturnType<typeof createApiServer>>;
let client: KubeClient;
beforeAll(async () => {
  server = await createApiServer({ tls: false });
  scene(server.cluster);
  client = clusterClient(server.cluster);
});
afterAll(() => server.close());

const look = async (subject: string, by: KubeClient = client) =>
  gather(by, parseSubject(subject), { namespace: "velero" });
const titles = async (subject: string): Promise<string[]> =>
  (await look(subject)).objects.map((one) => `${one.role}: ${titleOf(one)}`);

describe("gather", () => {
  it("follows a Backup to its volumes, their pods, their repository and location, and who works on them", async () => {
    const found = await titles("backup/nightly");
    expect(found).toEqual(
      expect.arrayContaining([
        "subject: Backup velero/nightly",
        "location: BackupStorageLocation velero/default",
        "transfer: DataUpload velero/up-1",
        "hosting pod: Pod velero/up-1",
        "hosting claim: PersistentVolumeClaim velero/up-1",
        "source claim: PersistentVolumeClaim shop/data",
        "source snapshot: VolumeSnapshot shop/snap-1",
        "repository: BackupRepository velero/shop-default-kopia",
        "transfer: PodVolumeBackup velero/pvb-1",
        "pod of the volume: Pod shop/web",
        "node agent: DaemonSet velero/node-agent",
        "node agent: Pod velero/node-agent-1",
        "server: Deployment velero/velero",
      ]),
    );
    expect(found[0]).toBe("subject: Backup velero/nightly");
    expect(new Set(found).size).toBe(found.length);
  });

  it.each([
    ["du/up-1", "hosting pod: Pod velero/up-1"],
    ["restore/back", "backup: Backup velero/nightly"],
    ["dd/down-1", "target claim: PersistentVolumeClaim shop/data"],
    ["pvb/pvb-1", "pod of the volume: Pod shop/web"],
    ["schedule/daily", "backup: Backup velero/nightly"],
    ["dbr/gone", "backup: Backup velero/nightly"],
    ["backuprepository/shop-default-kopia", "location: BackupStorageLocation velero/default"],
    ["pvc/shop/data", "transfer: DataUpload velero/up-1"],
    ["dpa/main", "location: BackupStorageLocation velero/main-1"],
    ["bsl/default", "server: Deployment velero/velero"],
  ])("%s leads to %s", async (subject, wanted) => {
    expect(await titles(subject)).toContain(wanted);
  });

  it("has the events of what it found, and tells what is not there", async () => {
    const { objects } = await look("du/up-1");
    const pod = objects.find(({ role }) => role === "hosting pod");
    expect(pod?.events.map(({ reason }) => reason)).toEqual(["FailedScheduling"]);
    expect(objects.find(({ role }) => role === "snapshot")).toMatchObject({ object: undefined });
    expect(await titles("backup/never")).toEqual(["subject: Backup velero/never"]);
  });

  it("goes on without what may not be read, and says so", async () => {
    const refuse: KubeClient = {
      ...client,
      list: async (resource, options) => {
        if (resource.kind === "Pod")
          throw new AccessError("DM_KUBE_FORBIDDEN", "pods is forbidden", {});
        return client.list(resource, options);
      },
    };
    const found = await look("du/up-1", refuse);
    expect(found.notRead).toEqual(["pods in velero: pods is forbidden"]);
    expect(found.objects.length).toBeGreaterThan(5);
  });

  it("reads no Secret and writes nothing", async () => {
    const calls: string[] = [];
    const watched = new Proxy(client, {
      get: (target, name: keyof KubeClient) => {
        const call = target[name] as (...given: unknown[]) => unknown;
        return (resource: { kind: string }, ...rest: unknown[]) => {
          calls.push(`${name} ${resource.kind}`);
          return call(resource, ...rest);
        };
      },
    });
    for (const subject of ["backup/nightly", "restore/back", "pvc/shop/data"])
      await look(subject, watched);
    expect(calls.length).toBeGreaterThan(30);
    expect(calls.filter((call) => /Secret/.test(call) || !/^(get|list) /.test(call))).toEqual([]);
  });
});

describe("subjects", () => {
  it.each([
    ["Backup/a", "Backup", undefined],
    ["backups.velero.io/a", "Backup", undefined],
    ["datauploads/a", "DataUpload", undefined],
    ["du/a", "DataUpload", undefined],
    ["dd/a", "DataDownload", undefined],
    ["dpa/a", "DataProtectionApplication", undefined],
    ["pvc/shop/a", "PersistentVolumeClaim", "shop"],
  ])("%s is a %s", (text, kind, namespace) => {
    const { name, namespace: own, resource } = parseSubject(text);
    expect([resource.kind, own, name]).toEqual([kind, namespace, "a"]);
  });

  it.each(["pod/a", "backup", "backup/", "backup/a/b/c", ""])("%j is none", (text) => {
    expect(() => parseSubject(text)).toThrow(
      expect.objectContaining({ code: "DM_WHY_KIND_UNKNOWN" }),
    );
    expect(() => parseSubject(text)).toThrow(subjectKinds.join(", "));
  });
});
