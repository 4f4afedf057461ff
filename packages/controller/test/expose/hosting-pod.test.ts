// The hosting pod, field by field: what it takes over from the node agent, where it may run, how it has the volume, what it may do.
import type { Container, NodeSelectorTerm, Pod } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { type HostingPodInput, hostingPod } from "../../src/expose/hosting-pod.ts";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import { loadAffinityFor } from "../../src/expose/node-affinity.ts";
import { namespace, nodeAgent, owner } from "./samples.ts";

const template = hostingTemplateOf(nodeAgent);

function podOf(input: Partial<HostingPodInput> = {}): Pod {
  return hostingPod({
    kind: "DataUpload",
    namespace,
    owner,
    template,
    settings: {},
    claim: { name: owner.name, volumeMode: "Filesystem", storageClass: "fast" },
    topology: [],
    nodeOS: "linux",
    resourceTimeout: "10m0s",
    ...input,
  });
}

function containerOf(pod: Pod): Container {
  const [container] = pod.spec.containers;
  if (container === undefined) throw new Error("no container");
  return container;
}

function termsOf(pod: Pod): NodeSelectorTerm[] {
  const node = pod.spec.affinity?.nodeAffinity;
  return node?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
}

const notWindows = { key: "kubernetes.io/os", operator: "NotIn", values: ["windows"] };

describe("the hosting pod", () => {
  it("row 11: is named like the DataUpload, owned by it, and found by labels", () => {
    const { metadata, spec } = podOf();
    expect(metadata).toMatchObject({ name: "backup-1", namespace, ownerReferences: [owner] });
    expect(metadata.labels).toEqual({
      "velero.io/data-upload": "backup-1",
      "velero.io/exposer-pod-group": "snapshot-exposer",
      "azure.workload.identity/use": "true",
    });
    expect(metadata.annotations).toEqual({ "iam.amazonaws.com/role": "backup" });
    expect(spec.topologySpreadConstraints).toEqual([
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: { "velero.io/exposer-pod-group": "snapshot-exposer" } },
      },
    ]);
    expect(spec.restartPolicy).toBe("Never");
    expect(spec.terminationGracePeriodSeconds).toBe(20);
  });

  it("has label values that the API takes when the name is longer than those may be", () => {
    const name = "a".repeat(80);
    const { metadata } = podOf({ owner: { ...owner, name } });
    expect(metadata.name).toBe(name);
    expect(metadata.labels?.["velero.io/data-upload"]).toMatch(/^a{57}[0-9a-f]{6}$/);
  });

  it("runs the program of the node agent as a mover, from an image that is on the node", () => {
    const container = containerOf(podOf());
    expect(container).toMatchObject({
      name: owner.uid,
      image: "dm:1",
      imagePullPolicy: "Never",
      command: ["node", "/app/dm-controller.js"],
      args: [
        "mover",
        "backup",
        "--volume-path=/6b1f",
        "--volume-mode=Filesystem",
        "--data-upload=backup-1",
        "--termination-log=/dev/termination-log",
        "--resource-timeout=10m0s",
        "--log-level=debug",
      ],
      terminationMessagePath: "/dev/termination-log",
    });
    const restore = containerOf(podOf({ kind: "DataDownload" }));
    expect(restore.args?.slice(0, 2)).toEqual(["mover", "restore"]);
    expect(restore.args).toContain("--data-download=backup-1");
  });

  it("takes over environment, credentials, account and name service, and nothing of the node", () => {
    const { spec } = podOf();
    const container = containerOf(podOf());
    expect(container.env).toHaveLength(1);
    expect(container.envFrom).toEqual([{ secretRef: { name: "proxy" } }]);
    expect(container.volumeMounts).toEqual([
      { name: "cloud-credentials", mountPath: "/credentials" },
      { name: owner.uid, mountPath: "/6b1f" },
    ]);
    expect(spec.volumes).toEqual([
      { name: "cloud-credentials", secret: { secretName: "cloud-credentials" } },
      { name: owner.uid, persistentVolumeClaim: { claimName: "backup-1" } },
    ]);
    expect(spec).toMatchObject({
      serviceAccountName: "velero",
      imagePullSecrets: [{ name: "registry" }],
      dnsPolicy: "ClusterFirst",
      dnsConfig: { nameservers: ["10.0.0.1"] },
      tolerations: [{ key: "CriticalAddonsOnly", operator: "Exists" }],
    });
  });

  it("row 15: has a block volume as a device", () => {
    const container = containerOf(podOf({ claim: { name: "backup-1", volumeMode: "Block" } }));
    expect(container.volumeDevices).toEqual([{ name: owner.uid, devicePath: "/6b1f" }]);
    expect(container.volumeMounts?.map(({ name }) => name)).toEqual(["cloud-credentials"]);
    expect(container.args).toContain("--volume-mode=Block");
  });

  it("row 16: mounts read-only, without relabelling, only when asked for both", () => {
    const claim = { name: "backup-1", volumeMode: "Filesystem" } as const;
    const both = podOf({ claim: { ...claim, readOnly: true, noRelabeling: true } });
    expect(both.spec.securityContext).toEqual({ runAsUser: 0, seLinuxOptions: { type: "spc_t" } });
    expect(containerOf(both).volumeMounts?.at(-1)).toEqual({
      name: owner.uid,
      mountPath: "/6b1f",
      readOnly: true,
    });
    expect(both.spec.volumes?.at(-1)?.persistentVolumeClaim?.readOnly).toBe(true);
    const alone = podOf({ claim: { ...claim, noRelabeling: true } });
    expect(alone.spec.securityContext).toEqual({ runAsUser: 0 });
    expect(containerOf(alone).volumeMounts?.at(-1)?.readOnly).toBeUndefined();
  });

  it("row 17: may run where the volume can be reached", () => {
    const zone = (name: string): NodeSelectorTerm => ({
      matchExpressions: [{ key: "zone", operator: "In", values: [name] }],
    });
    expect(termsOf(podOf({ topology: [zone("a"), zone("b")] }))).toEqual(
      [zone("a"), zone("b")].map(({ matchExpressions }) => ({
        matchExpressions: [...(matchExpressions ?? []), notWindows],
      })),
    );
  });

  it("may run where the configuration wants the load of its storage class", () => {
    const selector = (name: string) => ({ matchLabels: { pool: name } });
    const affinities = [
      { nodeSelector: selector("slow"), storageClass: "slow" },
      { nodeSelector: selector("any") },
      { nodeSelector: selector("any-2") },
      { nodeSelector: selector("fast"), storageClass: "fast" },
    ];
    expect(loadAffinityFor(affinities, "fast")?.nodeSelector).toEqual(selector("fast"));
    expect(loadAffinityFor(affinities, "other")?.nodeSelector).toEqual(selector("any"));
    expect(loadAffinityFor(affinities, undefined)?.nodeSelector).toEqual(selector("any"));
    expect(loadAffinityFor(affinities.slice(0, 1), "other")).toBeUndefined();
    const pool = { key: "pool", operator: "In", values: ["fast"] };
    expect(termsOf(podOf({ settings: { loadAffinity: affinities } }))).toEqual([
      { matchExpressions: [pool, notWindows] },
    ]);
  });

  it("row 81: runs on the one node that is named, whatever the load affinity, and not on those to avoid", () => {
    const settings = { loadAffinity: [{ nodeSelector: { matchLabels: { pool: "a" } } }] };
    const pod = podOf({ kind: "DataDownload", hostname: "n1", settings, avoidHostnames: ["n2"] });
    expect(pod.spec.nodeSelector).toEqual({ "kubernetes.io/hostname": "n1" });
    expect(termsOf(pod)).toEqual([
      {
        matchExpressions: [
          notWindows,
          { key: "kubernetes.io/hostname", operator: "NotIn", values: ["n2"] },
        ],
      },
    ]);
    expect(pod.metadata.labels?.["velero.io/exposer-pod-group"]).toBe("generic-restore-exposer");
  });

  it.each([
    ["DataUpload", "Filesystem", ["DAC_OVERRIDE"]],
    ["DataDownload", "Filesystem", ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]],
    ["DataUpload", "Block", undefined],
    ["DataDownload", "Block", undefined],
  ] as const)("is root with few rights: %s of %s", (kind, volumeMode, add) => {
    const pod = podOf({ kind, claim: { name: "backup-1", volumeMode } });
    expect(pod.spec.securityContext?.runAsUser).toBe(0);
    const { securityContext } = containerOf(pod);
    expect(securityContext?.privileged).toBe(false);
    expect(securityContext?.allowPrivilegeEscalation).toBe(false);
    expect(securityContext?.capabilities?.drop).toEqual(["ALL"]);
    expect(securityContext?.capabilities?.add).toEqual(add);
  });

  it("has the resources, labels, annotations and priority of the configuration", () => {
    const pod = podOf({
      settings: {
        podResources: {
          cpuRequest: "500m",
          cpuLimit: "0",
          memoryLimit: "1Gi",
          ephemeralStorageLimit: "",
        },
        podLabels: { team: "storage" },
        podAnnotations: { note: "x" },
        priorityClassName: "low",
      },
    });
    expect(containerOf(pod).resources).toEqual({
      requests: { cpu: "500m" },
      limits: { memory: "1Gi" },
    });
    expect(pod.metadata.labels).toMatchObject({
      team: "storage",
      "velero.io/data-upload": "backup-1",
    });
    expect(pod.metadata.labels).not.toHaveProperty("azure.workload.identity/use");
    expect(pod.metadata.annotations).toEqual({ note: "x" });
    expect(pod.spec.priorityClassName).toBe("low");
    expect(containerOf(podOf()).resources).toBeUndefined();
  });

  it("runs as the administrator on Windows, and only there", () => {
    const pod = podOf({ nodeOS: "windows" });
    expect(pod.spec.os).toEqual({ name: "windows" });
    expect(pod.spec.securityContext).toEqual({
      windowsOptions: { runAsUserName: "ContainerAdministrator" },
    });
    expect(containerOf(pod).securityContext).toBeUndefined();
    expect(termsOf(pod)[0]?.matchExpressions).toEqual([{ ...notWindows, operator: "In" }]);
    expect(pod.spec.tolerations?.filter(({ key }) => key === "os")).toHaveLength(2);
  });

  it("has a claim for the mover's cache when there is one", () => {
    const pod = podOf({ kind: "DataDownload", cacheClaim: "backup-1-cache" });
    expect(containerOf(pod).args).toContain("--cache-volume-path=/cache");
    expect(containerOf(pod).volumeMounts?.at(-1)).toEqual({ name: "cache", mountPath: "/cache" });
    expect(pod.spec.volumes?.at(-1)?.persistentVolumeClaim?.claimName).toBe("backup-1-cache");
  });
});

describe("the hosting pod of a volume that another pod has mounted", () => {
  const hosted = { path: "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pv/mount", node: "n1" };
  const ofPod = (input: Partial<HostingPodInput> = {}): Pod =>
    podOf({ kind: "PodVolumeBackup", claim: undefined, hosted, ...input });

  it("runs on that pod's node, with its directory and nothing else of the node", () => {
    const { metadata, spec } = ofPod();
    expect(metadata.labels).toMatchObject({ "velero.io/pod-volume-backup": "backup-1" });
    expect(spec.nodeName).toBe("n1");
    expect(spec.affinity).toBeUndefined();
    expect(spec.topologySpreadConstraints).toBeUndefined();
    expect(spec.tolerations).toEqual(template.tolerations);
    expect(spec.volumes?.at(-1)).toEqual({
      name: owner.uid,
      hostPath: { path: hosted.path, type: "Directory" },
    });
    expect(spec.volumes?.map(({ name }) => name)).not.toContain("host-pods");
  });

  it("reads for a backup, and writes for a restore", () => {
    const mount = { name: owner.uid, mountPath: "/6b1f", mountPropagation: "HostToContainer" };
    const backup = containerOf(ofPod());
    expect(backup.volumeMounts?.at(-1)).toEqual({ ...mount, readOnly: true });
    expect(backup.args).toContain("--pod-volume-backup=backup-1");
    expect(backup.securityContext?.capabilities?.add).toEqual(["DAC_OVERRIDE"]);
    const pod = ofPod({ kind: "PodVolumeRestore" });
    const restore = containerOf(pod);
    expect(restore.volumeMounts?.at(-1)).toEqual(mount);
    expect(restore.args?.slice(0, 2)).toEqual(["mover", "restore"]);
    expect(restore.args).toContain("--pod-volume-restore=backup-1");
    expect(restore.securityContext?.capabilities?.add).toContain("CHOWN");
    expect(pod.metadata.labels).toMatchObject({ "velero.io/pod-volume-restore": "backup-1" });
  });

  it("is not held up by labels of SELinux, and privileged only when the configuration says so", () => {
    const pod = ofPod();
    expect(pod.spec.securityContext).toEqual({ runAsUser: 0, seLinuxOptions: { type: "spc_t" } });
    expect(containerOf(pod).securityContext?.privileged).toBe(false);
    const privileged = ofPod({ settings: { privilegedFsBackup: true } });
    expect(containerOf(privileged).securityContext).toEqual({ privileged: true });
    const own = podOf({ settings: { privilegedFsBackup: true } });
    expect(containerOf(own).securityContext?.privileged).toBe(false);
  });
});

describe("the template of hosting pods", () => {
  it("has a read-only root where the node agent has one", () => {
    expect(containerOf(podOf()).securityContext?.readOnlyRootFilesystem).toBeUndefined();
    const copy = structuredClone(nodeAgent);
    const [, container] = copy.spec.template.spec.containers;
    if (container) container.securityContext = { readOnlyRootFilesystem: true };
    const pod = podOf({ template: hostingTemplateOf(copy) });
    expect(containerOf(pod).securityContext?.readOnlyRootFilesystem).toBe(true);
  });

  it("is that of the image's entry point when the container has no command", () => {
    const copy = structuredClone(nodeAgent);
    const container = copy.spec.template.spec.containers[1] as Container;
    delete container.command;
    container.args = ["node-agent", "--log-format=json"];
    const taken = hostingTemplateOf(copy);
    expect(taken.program).toEqual([]);
    expect(taken.logArgs).toEqual(["--log-format=json"]);
  });

  it("refuses a DaemonSet without an image", () => {
    const copy = structuredClone(nodeAgent);
    copy.spec.template.spec.containers = [{ name: "node-agent" }];
    expect(() => hostingTemplateOf(copy)).toThrow(
      expect.objectContaining({ code: "DM_NODE_AGENT_TEMPLATE" }),
    );
  });
});
