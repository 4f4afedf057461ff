/** Every row of Velero's rules about which volumes of a pod are backed up by their files, and the reasons for those that are not. */
import type { PersistentVolume, Pod, Volume } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  type BoundClaim,
  type DueVolumesOptions,
  dueVolumes,
} from "../../src/pod-volume/due-volumes.ts";
import { claim, podWith } from "./samples.ts";

const data: Volume = { name: "data", persistentVolumeClaim: { claimName: "mysql" } };
const scratch: Volume = { name: "scratch", emptyDir: {} };
const claims = new Map<string, BoundClaim>([["mysql", { claim }]]);
const all: DueVolumesOptions = { defaultVolumesToFsBackup: true };
const asked: DueVolumesOptions = { defaultVolumesToFsBackup: false };
const names = (pod: Pod, options: DueVolumesOptions, of = claims) =>
  dueVolumes(pod, of, options).due.map(({ volume }) => volume.name);
const reasons = (pod: Pod, of = claims) => dueVolumes(pod, of, all).skipped;

describe("dueVolumes", () => {
  it("takes what the pod asks for, and nothing without an annotation", () => {
    expect(names(podWith([data, scratch]), asked)).toEqual([]);
    const pod = podWith([data, scratch], { "backup.velero.io/backup-volumes": "scratch,unknown" });
    expect(names(pod, asked)).toEqual(["scratch"]);
    expect(dueVolumes(pod, claims, asked).optedOut).toEqual([]);
  });

  it("takes all by default, with their claims, but those that the pod leaves out", () => {
    const pod = podWith([data, scratch]);
    expect(dueVolumes(pod, claims, all).due).toEqual([
      { volume: data, claim },
      { volume: scratch },
    ]);
    const without = podWith([data, scratch], {
      "backup.velero.io/backup-volumes-excludes": "data",
    });
    expect(names(without, all)).toEqual(["scratch"]);
    expect(dueVolumes(without, claims, all).optedOut).toEqual(["data"]);
  });

  it.each<Volume>([
    { name: "v", hostPath: { path: "/var/log" } },
    { name: "v", secret: { secretName: "s" } },
    { name: "v", configMap: { name: "c" } },
    { name: "v", projected: {} },
    { name: "v", downwardAPI: {} },
    { name: "default-token-x7k2p", emptyDir: {} },
  ])("never takes %o, not even when asked", (volume) => {
    const pod = podWith([volume], { "backup.velero.io/backup-volumes": volume.name });
    for (const options of [all, asked, { ...asked, actionOf: () => "fs-backup" }])
      expect(dueVolumes(pod, claims, options)).toEqual({ due: [], optedOut: [], skipped: [] });
  });

  it("leaves disks of virtual machines to snapshots", () => {
    const pod = podWith([data, scratch]);
    const launcher = {
      ...pod,
      metadata: { ...pod.metadata, labels: { "kubevirt.io": "virt-launcher" } },
    };
    expect(names(launcher, all)).toEqual(["scratch"]);
    expect(reasons(launcher)).toEqual([
      {
        volume: "data",
        reason: expect.stringContaining(
          "Disks of virtual machines are not supported for fs backup",
        ),
      },
    ]);
  });

  it("lets a resource policy decide before annotations do", () => {
    const pod = podWith([data, scratch], { "backup.velero.io/backup-volumes-excludes": "scratch" });
    const actions: Record<string, string> = { data: "snapshot", scratch: "fs-backup" };
    const actionOf = ({ name }: Volume) => actions[name];
    expect(names(pod, { ...all, actionOf })).toEqual(["scratch"]);
    expect(dueVolumes(pod, claims, { ...all, actionOf }).optedOut).toEqual([]);
    expect(names(pod, { ...asked, actionOf })).toEqual(["scratch"]);
    expect(names(pod, { ...all, actionOf: () => "skip" })).toEqual([]);
  });

  it("says which volume no container mounts, and which one is a block device", () => {
    const pod = podWith([data, scratch]);
    pod.spec.containers = [
      { name: "c", volumeDevices: [{ name: "data", devicePath: "/dev/x" }], volumeMounts: [] },
    ];
    expect(reasons(pod)).toEqual([
      {
        volume: "data",
        reason:
          "volume data declared in pod mysql-persistent/mysql-7d9c5b8f6d-x2x4q is a block volume. Block volumes are not supported for fs backup, skipping",
      },
      {
        volume: "scratch",
        reason:
          "volume scratch is declared in pod mysql-persistent/mysql-7d9c5b8f6d-x2x4q but not mounted by any container, skipping",
      },
    ]);
  });

  it("does not count what only an init container mounts", () => {
    const pod = podWith([scratch]);
    const [container] = pod.spec.containers;
    pod.spec.initContainers = [{ name: "init", volumeMounts: container?.volumeMounts ?? [] }];
    pod.spec.containers = [{ name: "c" }];
    expect(reasons(pod)[0]?.reason).toContain("but not mounted by any container");
  });

  it("skips a volume of the node's own, and a claim that is not there", () => {
    const volume = { metadata: { name: "pv" }, spec: { hostPath: { path: "/x" } } };
    const local = new Map([["mysql", { claim, volume: volume as PersistentVolume }]]);
    expect(reasons(podWith([data]), local)[0]?.reason).toBe(
      "Volume data in pod mysql-persistent/mysql-7d9c5b8f6d-x2x4q is a hostPath volume which is not supported for pod volume backup, skipping",
    );
    expect(reasons(podWith([data]), new Map())[0]?.reason).toContain('"mysql" not found');
  });

  it.each<[string, Partial<Pod>]>([
    [
      "pod is not in the expected status, name=mysql-7d9c5b8f6d-x2x4q, namespace=mysql-persistent, phase=Succeeded: pod is not running",
      { status: { phase: "Succeeded" } },
    ],
    [
      "pod is not scheduled, name=mysql-7d9c5b8f6d-x2x4q, namespace=mysql-persistent, phase=Pending",
      { status: { phase: "Pending" }, spec: { ...podWith([scratch]).spec, nodeName: "" } },
    ],
    [
      "pod is being terminated, name=mysql-7d9c5b8f6d-x2x4q, namespace=mysql-persistent, phase=Running",
      { metadata: { ...podWith([]).metadata, deletionTimestamp: "2026-11-22T22:39:00Z" } },
    ],
  ])("skips all of a pod that does not run: %s", (trouble, part) => {
    expect(reasons({ ...podWith([scratch]), ...part })).toEqual([
      {
        volume: "scratch",
        reason: `encountered a problem with backing up the PVC of pod mysql-persistent/mysql-7d9c5b8f6d-x2x4q: ${trouble}`,
      },
    ]);
  });
});
