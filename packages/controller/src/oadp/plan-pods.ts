/**
 * The Deployment of the server and the DaemonSet of the node agent. Pure.
 *
 * Different on purpose: one program with everything built in, so there are no plugins to copy into the pod; three accounts with
 * the rights of their roles instead of one that may do everything; credentials are read from the API and not mounted.
 * Proof: test/oadp/plan-pods.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import {
  type Container,
  type DaemonSet,
  type DataProtectionApplication,
  type Deployment,
  type EnvVar,
  labels,
  type PodSpec,
  type PodTemplate,
  type ResourceRequirements,
  type Toleration,
  type VeleroConfig,
  type Volume,
  type VolumeMount,
} from "@dm/crds";
import { affinityOf } from "../expose/node-affinity.ts";
import {
  type ApplicationSettings,
  hostPodsMount,
  type LoadAffinityConfig,
  nodeAgentAffinity,
  nodeAgentName,
  nodeAgentOf,
  oadpOperator,
  type SeenApplication,
  serverLabels,
  serverName,
  usesHostPaths,
  veleroOf,
} from "./application.ts";
import { nodeAgentArguments, serverArguments } from "./server-arguments.ts";

type PodConfig = NonNullable<VeleroConfig["podConfig"]>;

export const metricsPort = 8085;

/** @throws {FormatError} `DM_APPLICATION_INVALID` when labels of the pods contradict those that find them */
export function planServer(seen: SeenApplication, settings: ApplicationSettings): Deployment {
  const { application } = seen;
  const velero = veleroOf(application);
  const { podConfig } = velero;
  const own = serverLabels(application);
  const port = serverPort(application);
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: serverName,
      namespace: application.metadata.namespace ?? "",
      labels: { component: serverName, ...own },
    },
    spec: {
      replicas: 1,
      selector: { matchLabels: own },
      template: {
        metadata: {
          labels: merged("velero deployment template custom label", podConfig, {
            component: serverName,
            deploy: serverName,
            ...own,
          }),
          annotations: podAnnotations(application, port),
        },
        spec: {
          serviceAccountName: settings.serverAccount,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
          ...placement(application, podConfig, velero.loadAffinity),
          containers: [
            {
              ...program(application, settings, podConfig),
              name: serverName,
              args: serverArguments(seen),
              env: withOthers([...ownEnvironment, podNameVariable], podConfig),
              ports: [{ name: "metrics", containerPort: port }],
              livenessProbe: { ...probe("/healthz"), initialDelaySeconds: 10 },
              readinessProbe: { ...probe("/readyz"), periodSeconds: 2 },
              securityContext: {
                privileged: false,
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ["ALL"] },
              },
              volumeMounts: [
                { name: "home", mountPath: home },
                { name: "scratch", mountPath: "/scratch" },
                { name: "tmp", mountPath: "/tmp" },
                tokenMount,
              ],
            },
          ],
          volumes: [...["home", "scratch", "tmp"].map(emptyVolume), tokenVolume],
        },
      },
    },
  };
}

/**
 * `configVersion` stands in a label of the pods: when the configuration changes, they are replaced, because it is read at the
 * start.
 * @throws {FormatError} `DM_APPLICATION_INVALID` when labels of the pods contradict those that find them
 */
export function planNodeAgent(
  seen: SeenApplication,
  settings: ApplicationSettings,
  configVersion: string | undefined,
): DaemonSet {
  const { application } = seen;
  const { podConfig, supplementalGroups } = nodeAgentOf(application) ?? {};
  const selector = { component: serverName, name: nodeAgentName };
  const usesHost = usesHostPaths(application);
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: {
      name: nodeAgentName,
      namespace: application.metadata.namespace ?? "",
      labels: {
        ...selector,
        ...serverLabels(application),
        [labels.appName]: nodeAgentName,
        [labels.appComponent]: nodeAgentName,
      },
    },
    spec: {
      selector: { matchLabels: selector },
      updateStrategy: {
        type: "RollingUpdate",
        rollingUpdate: { maxUnavailable: 1, maxSurge: 0 },
      },
      template: {
        metadata: {
          labels: merged("NodeAgent daemonset template custom label", podConfig, {
            ...selector,
            [labels.role]: nodeAgentName,
            [labels.appName]: nodeAgentName,
            [labels.appManagedBy]: oadpOperator,
            [labels.nodeAgentConfigVersion]: configVersion ?? "",
          }),
          annotations: podAnnotations(application, metricsPort),
        },
        spec: {
          serviceAccountName: settings.nodeAgentAccount,
          securityContext: {
            runAsNonRoot: !usesHost,
            ...(usesHost && { runAsUser: 0 }),
            seccompProfile: { type: usesHost ? "Unconfined" : "RuntimeDefault" },
            ...(supplementalGroups && { supplementalGroups }),
          },
          ...placement(application, podConfig, nodeAgentAffinity(application)),
          containers: [
            {
              ...program(application, settings, podConfig),
              name: nodeAgentName,
              args: nodeAgentArguments(seen, settings, configVersion !== undefined),
              env: withOthers([nodeNameVariable, ...ownEnvironment], podConfig),
              ports: [{ name: "metrics", containerPort: metricsPort }],
              livenessProbe: { ...probe("/healthz"), initialDelaySeconds: 10 },
              securityContext: {
                privileged: usesHost,
                allowPrivilegeEscalation: usesHost,
                readOnlyRootFilesystem: true,
                ...(!usesHost && { capabilities: { drop: ["ALL"] } }),
              },
              volumeMounts: [
                ...(usesHost ? hostMounts(settings) : []),
                { name: "scratch", mountPath: "/scratch" },
                { name: "certs", mountPath: "/etc/ssl/certs" },
                tokenMount,
                { name: "credentials", mountPath: "/tmp/credentials" },
                { name: "home-velero", mountPath: home },
                { name: "tmp", mountPath: "/tmp" },
              ],
            },
          ],
          volumes: [
            ...(usesHost ? hostVolumes(settings) : []),
            ...["scratch", "certs", "home-velero", "credentials", "tmp"].map(emptyVolume),
            tokenVolume,
          ],
        },
      },
    },
  };
}

const home = "/home/velero";
const emptyVolume = (name: string): Volume => ({ name, emptyDir: {} });

/** By it clouds know the pod; it does nothing where they are not asked. */
const tokenVolume: Volume = {
  name: "bound-sa-token",
  projected: {
    sources: [
      { serviceAccountToken: { audience: "openshift", expirationSeconds: 3600, path: "token" } },
    ],
  },
};
const tokenMount: VolumeMount = {
  name: "bound-sa-token",
  mountPath: "/var/run/secrets/openshift/serviceaccount",
  readOnly: true,
};

function hostMounts({ hostPluginsPath }: ApplicationSettings): VolumeMount[] {
  const mountPropagation = "HostToContainer";
  return [
    { name: "host-pods", mountPath: hostPodsMount, mountPropagation },
    { name: "host-plugins", mountPath: hostPluginsPath, mountPropagation },
  ];
}

function hostVolumes({ hostPluginsPath, hostPodsPath }: ApplicationSettings): Volume[] {
  return [
    { name: "host-pods", hostPath: { path: hostPodsPath } },
    { name: "host-plugins", hostPath: { path: hostPluginsPath } },
  ];
}

const fromField = (name: string, fieldPath: string): EnvVar => ({
  name,
  valueFrom: { fieldRef: { fieldPath } },
});
const ownEnvironment: readonly EnvVar[] = [
  fromField("POD_IP", "status.podIP"),
  fromField("POD_NAMESPACE", "metadata.namespace"),
  // Where repositories keep what they read again and again.
  { name: "HOME", value: home },
];
const podNameVariable = fromField("POD_NAME", "metadata.name");
const nodeNameVariable = fromField("NODE_NAME", "spec.nodeName");

/** A variable that is there already stays as it is. */
function withOthers(own: readonly EnvVar[], podConfig: PodConfig | undefined): EnvVar[] {
  const given = (podConfig?.env ?? []) as unknown as EnvVar[];
  const names = new Set(own.map(({ name }) => name));
  const added = given.filter(({ name }) => !names.has(name) && names.add(name));
  return structuredClone([...own, ...added]);
}

function probe(path: string): NonNullable<Container["livenessProbe"]> {
  return { httpGet: { path, port: "metrics" } };
}

function program(
  { spec }: DataProtectionApplication,
  settings: ApplicationSettings,
  podConfig: PodConfig | undefined,
): Pick<Container, "command" | "image" | "imagePullPolicy" | "resources"> {
  const image = spec?.unsupportedOverrides?.["veleroImageFqin"] || settings.image;
  return {
    image,
    imagePullPolicy: spec?.imagePullPolicy ?? pullPolicy(image),
    ...(settings.command.length > 0 && { command: [...settings.command] }),
    resources: resources(podConfig?.resourceAllocations as ResourceRequirements | undefined),
  };
}

/** What a digest names never changes. */
function pullPolicy(image: string): string {
  return /@sha(256:[a-f0-9]{64}|512:[a-f0-9]{128})/.test(image) ? "IfNotPresent" : "Always";
}

function resources(given: ResourceRequirements | null | undefined): ResourceRequirements {
  return {
    requests: { cpu: "500m", memory: "128Mi", ...given?.requests },
    ...(given?.limits && Object.keys(given.limits).length > 0 && { limits: { ...given.limits } }),
  };
}

function placement(
  { spec }: DataProtectionApplication,
  podConfig: PodConfig | undefined,
  loadAffinity: LoadAffinityConfig | undefined,
): Partial<PodSpec> {
  const { nodeSelector, tolerations } = podConfig ?? {};
  const affinity = affinityOf(loadAffinity ?? []);
  return {
    ...(tolerations && { tolerations: structuredClone(tolerations) as Toleration[] }),
    ...(nodeSelector && Object.keys(nodeSelector).length > 0 && { nodeSelector }),
    ...(affinity && { affinity }),
    ...(spec?.podDnsPolicy && { dnsPolicy: spec.podDnsPolicy }),
    ...(spec?.podDnsConfig &&
      Object.keys(spec.podDnsConfig).length > 0 && { dnsConfig: spec.podDnsConfig }),
  };
}

function podAnnotations(
  { spec }: DataProtectionApplication,
  port: number,
): NonNullable<NonNullable<PodTemplate["metadata"]>["annotations"]> {
  return {
    "prometheus.io/path": "/metrics",
    "prometheus.io/port": `${port}`,
    "prometheus.io/scrape": "true",
    ...spec?.podAnnotations,
  };
}

/** `velero.args.metrics-address` ends in the port. */
export function serverPort(application: DataProtectionApplication): number {
  const address = veleroOf(application).args?.["metrics-address"];
  const port = /:(\d{1,5})$/.exec(typeof address === "string" ? address : "")?.[1];
  return port === undefined ? metricsPort : Number(port);
}

function merged(
  where: string,
  podConfig: PodConfig | undefined,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const given = podConfig?.labels ?? {};
  for (const [key, value] of Object.entries(given))
    if (own[key] !== undefined && own[key] !== value)
      throw new FormatError(
        "DM_APPLICATION_INVALID",
        `${where}: conflicting key ${key} with value ${value} may not override ${own[key]}`,
        { key },
      );
  return { ...given, ...own };
}
