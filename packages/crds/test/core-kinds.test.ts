// The core kinds are those of Kubernetes, by group, version, plural and scope; their types take objects as the API sends them.
import { describe, expect, it } from "vitest";
import * as crds from "../src/index.ts";
import { apiVersionOf, type Pod, type Resource } from "../src/index.ts";

const isResource = (value: unknown): value is Resource =>
  typeof value === "object" && value !== null && "plural" in value && "namespaced" in value;
const resources = Object.entries(crds).flatMap(([name, value]) =>
  isResource(value) ? [{ name, ...value }] : [],
);

describe("resources", () => {
  it.each([
    ["pods", "v1", "Pod", true],
    ["persistentVolumeClaims", "v1", "PersistentVolumeClaim", true],
    ["persistentVolumes", "v1", "PersistentVolume", false],
    ["configMaps", "v1", "ConfigMap", true],
    ["secrets", "v1", "Secret", true],
    ["serviceAccounts", "v1", "ServiceAccount", true],
    ["events", "v1", "Event", true],
    ["namespaces", "v1", "Namespace", false],
    ["nodes", "v1", "Node", false],
    ["storageClasses", "storage.k8s.io/v1", "StorageClass", false],
    ["volumeAttachments", "storage.k8s.io/v1", "VolumeAttachment", false],
    ["csiDrivers", "storage.k8s.io/v1", "CSIDriver", false],
    ["leases", "coordination.k8s.io/v1", "Lease", true],
    ["jobs", "batch/v1", "Job", true],
    ["daemonSets", "apps/v1", "DaemonSet", true],
    ["deployments", "apps/v1", "Deployment", true],
    ["statefulSets", "apps/v1", "StatefulSet", true],
    ["customResourceDefinitions", "apiextensions.k8s.io/v1", "CustomResourceDefinition", false],
  ])("%s", (name, apiVersion, kind, namespaced) => {
    const resource = resources.find((candidate) => candidate.name === name);
    expect(resource).toMatchObject({ kind, namespaced, plural: name.toLowerCase() });
    expect(resource && apiVersionOf(resource)).toBe(apiVersion);
  });

  it("are named by the plural of their kind, custom ones too", () => {
    for (const { name, plural } of resources) expect(name.toLowerCase()).toBe(plural);
    expect(resources.length).toBe(18 + crds.customKinds.length);
  });
});

it("a pod as the API sends it has its type, and keeps what the type does not name", () => {
  const text =
    '{"metadata":{"name":"a","uid":"1"},"spec":{"containers":[{"name":"c","stdin":true}],"enableServiceLinks":true},' +
    '"status":{"phase":"Running","qosClass":"Burstable","containerStatuses":[{"name":"c","image":"i","imageID":"",' +
    '"ready":true,"restartCount":0,"state":{"running":{"startedAt":"2026-05-01T00:00:00Z"}}}]}}';
  const pod: Pod = JSON.parse(text);
  expect(pod.status?.containerStatuses?.[0]?.state?.running?.startedAt).toBe(
    "2026-05-01T00:00:00Z",
  );
  expect(JSON.stringify(pod)).toBe(text);
});
