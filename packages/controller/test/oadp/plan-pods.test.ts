// The server and the node agent: rights, labels, environment, places, images; and that others of our programs find what they need.
import { describe, expect, it } from "vitest";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import { applicationDefaults } from "../../src/oadp/application.ts";
import { planMetricsService } from "../../src/oadp/plan-metrics-service.ts";
import { planNodeAgent, planServer } from "../../src/oadp/plan-pods.ts";
import { type Agent, application, type Spec, seen, type Velero } from "./samples.ts";

const settings = { ...applicationDefaults, image: "example/dm:1", command: ["/dm"] };
const server = (velero: Velero = {}, spec: Partial<Spec> = {}) =>
  planServer(seen(application(spec, { velero })), settings);
const agent = (given: Partial<Agent> = {}, velero: Velero = {}, version?: string) =>
  planNodeAgent(seen(application({}, { agent: given, velero })), settings, version);
const container = ({ spec }: ReturnType<typeof server> | ReturnType<typeof agent>) => {
  const [first, ...others] = spec.template.spec.containers;
  if (!first || others.length > 0) throw new Error("there is to be one container");
  return first;
};

describe("the server", () => {
  it("has OADP's name and labels, and our program", () => {
    const { metadata, spec } = server();
    const labels = {
      "app.kubernetes.io/name": "velero",
      "app.kubernetes.io/instance": "dpa",
      "app.kubernetes.io/managed-by": "oadp-operator",
      "app.kubernetes.io/component": "server",
      "openshift.io/oadp": "True",
    };
    expect(metadata).toMatchObject({ name: "velero", namespace: "openshift-adp", labels });
    expect(spec).toMatchObject({ replicas: 1, selector: { matchLabels: labels } });
    expect(spec.template.metadata?.labels).toMatchObject({ ...labels, deploy: "velero" });
    expect(spec.template.spec.serviceAccountName).toBe("dm-server");
    expect(container(server())).toMatchObject({
      name: "velero",
      image: "example/dm:1",
      command: ["/dm"],
      imagePullPolicy: "Always",
      resources: { requests: { cpu: "500m", memory: "128Mi" } },
    });
  });

  it("has no right it does not need", () => {
    expect(container(server()).securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(server().spec.template.spec.securityContext).toMatchObject({ runAsNonRoot: true });
    const texts = JSON.stringify(server());
    expect(texts).not.toContain("hostPath");
    expect(texts).not.toContain("cloud-credentials");
  });

  it("takes variables, but not in place of its own", () => {
    const env = [
      { name: "HOME", value: "/elsewhere" },
      { name: "KOPIA_HASHING_ALGORITHM", value: "BLAKE3-256" },
      { name: "FROM", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
      { name: "KOPIA_HASHING_ALGORITHM", value: "SECOND" },
    ];
    const all = container(server({ podConfig: { env } })).env ?? [];
    expect(all.filter(({ name }) => name === "HOME")).toEqual([
      { name: "HOME", value: "/home/velero" },
    ]);
    expect(all.slice(-2)).toEqual([env[1], env[2]]);
  });

  it("runs where, how and with what the application says", () => {
    const given = server(
      {
        podConfig: {
          labels: { team: "storage" },
          nodeSelector: { infra: "yes" },
          tolerations: [{ key: "infra", operator: "Exists" }],
          resourceAllocations: { requests: { cpu: "1" }, limits: { memory: "1Gi" } },
        },
        loadAffinity: [
          { nodeSelector: { matchLabels: { zone: "a" } } },
          { nodeSelector: { matchExpressions: [{ key: "zone", operator: "Exists" }] } },
        ],
      },
      {
        podAnnotations: { note: "x" },
        podDnsPolicy: "None",
        podDnsConfig: { nameservers: ["1.2.3.4"] },
        imagePullPolicy: "Never",
        unsupportedOverrides: { veleroImageFqin: "other/dm:2" },
      },
    );
    expect(given.spec.template).toMatchObject({
      metadata: { labels: { team: "storage" }, annotations: { note: "x" } },
      spec: {
        nodeSelector: { infra: "yes" },
        tolerations: [{ key: "infra", operator: "Exists" }],
        dnsPolicy: "None",
        dnsConfig: { nameservers: ["1.2.3.4"] },
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] },
                { matchExpressions: [{ key: "zone", operator: "Exists" }] },
              ],
            },
          },
        },
      },
    });
    expect(container(given)).toMatchObject({
      image: "other/dm:2",
      imagePullPolicy: "Never",
      resources: { requests: { cpu: "1", memory: "128Mi" }, limits: { memory: "1Gi" } },
    });
  });

  it("is not pulled again when a digest names the image", () => {
    const veleroImageFqin = `x/dm@sha256:${"a".repeat(64)}`;
    const given = server({}, { unsupportedOverrides: { veleroImageFqin } });
    expect(container(given).imagePullPolicy).toBe("IfNotPresent");
  });

  it("is found by Prometheus, at another port when it is told to", () => {
    const args = { "metrics-address": "0.0.0.0:9000" };
    const given = application({}, { velero: { args } });
    expect(container(planServer(seen(given), settings)).ports).toEqual([
      { name: "metrics", containerPort: 9000 },
    ]);
    const { spec } = planMetricsService(given);
    expect(spec).toMatchObject({ ports: [{ port: 8085, targetPort: 9000 }] });
    expect(server().spec.template.metadata?.labels).toMatchObject(spec.selector ?? {});
  });

  it("refuses labels that would hide its pods", () => {
    const podConfig = { labels: { "app.kubernetes.io/name": "other" } };
    expect(() => server({ podConfig })).toThrow(
      expect.objectContaining({
        code: "DM_APPLICATION_INVALID",
        message:
          "velero deployment template custom label: conflicting key app.kubernetes.io/name with value other may not override velero",
      }),
    );
  });
});

describe("the node agent", () => {
  it("has Velero's name, selector and mounts", () => {
    const { metadata, spec } = agent();
    expect(metadata.name).toBe("node-agent");
    expect(spec.selector.matchLabels).toEqual({ component: "velero", name: "node-agent" });
    expect(spec.updateStrategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: 1, maxSurge: 0 },
    });
    expect(spec.template.metadata?.labels).toMatchObject({
      ...spec.selector.matchLabels,
      role: "node-agent",
      // By which agents of our program find each other.
      "app.kubernetes.io/name": "node-agent",
    });
    expect(spec.template.spec.volumes?.map(({ name }) => name)).toEqual([
      "host-pods",
      "host-plugins",
      "scratch",
      "certs",
      "home-velero",
      "credentials",
      "tmp",
      "bound-sa-token",
    ]);
    const mounts = container(agent()).volumeMounts ?? [];
    expect(mounts.map(({ name }) => name).sort()).toEqual(
      spec.template.spec.volumes?.map(({ name }) => name).sort(),
    );
    expect(mounts[0]).toEqual({
      name: "host-pods",
      mountPath: "/host_pods",
      mountPropagation: "HostToContainer",
    });
  });

  it("is privileged for volumes of running pods only", () => {
    expect(container(agent()).securityContext).toEqual({
      privileged: true,
      allowPrivilegeEscalation: true,
      readOnlyRootFilesystem: true,
    });
    expect(agent().spec.template.spec.securityContext).toEqual({
      runAsNonRoot: false,
      runAsUser: 0,
      seccompProfile: { type: "Unconfined" },
    });
    const without = agent({ supplementalGroups: [5] }, { disableFsBackup: true });
    expect(container(without).securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(without.spec.template.spec.securityContext).toEqual({
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
      supplementalGroups: [5],
    });
    expect(JSON.stringify(without)).not.toContain("host");
  });

  it("tells the version of its configuration in a label", () => {
    const label = "openshift.io/node-agent-cm-version";
    expect(agent({}, {}, "42").spec.template.metadata?.labels?.[label]).toBe("42");
    expect(agent().spec.template.metadata?.labels?.[label]).toBe("");
  });

  it("is what movers are made after: our program, its mounts without the node's own", () => {
    const template = hostingTemplateOf(agent({ podConfig: { env: [{ name: "X", value: "y" }] } }));
    expect(template).toMatchObject({ image: "example/dm:1", program: ["/dm"] });
    expect(template.env.map(({ name }) => name)).toContain("X");
    expect(template.volumes.map(({ name }) => name)).not.toContain("host-pods");
  });
});
