/**
 * The init container by which a restored pod waits for its files: it runs before all others, until each of the pod's volumes that
 * are being filled has the file `.velero/<uid of the Restore>`. Name, mounts and argument are Velero's, so that pods wait for
 * either's node agent. Pure.
 * Proof: test/pod-volume/restore-wait.test.ts.
 * @module
 */
import type { Container, Pod, ResourceRequirements, SecurityContext } from "@dm/crds";

export const restoreWaitContainer = "restore-wait";
/** Of Velero up to 1.9. */
const legacyContainer = "restic-wait";

/** Each volume is mounted at `/restores/<volume>`. */
const restoresPath = "/restores";

/** In the environment of the init container: where the volumes are, with colons between them. */
export const restorePathsVariable = "RESTORE_PATHS";

/** Of all kinds of restores, done or not, in the root of a volume. */
export const doneDirectory = ".velero";

export interface RestoreWaitSettings {
  readonly image: string;
  /** The program, which gets the uid of the Restore as its one argument; the image's entry point when absent. */
  readonly command?: readonly string[] | undefined;
  /** Arguments before that one. */
  readonly args?: readonly string[] | undefined;
  readonly imagePullPolicy?: string | undefined;
  /** Instead of those of the pod's first container, or the strictest ones. */
  readonly securityContext?: SecurityContext | undefined;
  readonly resources?: ResourceRequirements | undefined;
}

export const restoreWaitDefaults: {
  readonly resources: ResourceRequirements;
  readonly securityContext: SecurityContext;
} = {
  resources: {
    requests: { cpu: "100m", memory: "128Mi" },
    limits: { cpu: "100m", memory: "128Mi" },
  },
  securityContext: {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
    runAsUser: 1000,
    runAsNonRoot: true,
  },
};

/**
 * The pod with the init container in front, and without the one that an earlier restore left in it; without any when there are no
 * volumes to wait for.
 * @example withRestoreWait(pod, restore.metadata.uid, ["data"], { image: "quay.io/dm/dm:1" })
 */
export function withRestoreWait(
  pod: Pod,
  restoreUid: string,
  volumes: readonly string[],
  settings: RestoreWaitSettings,
): Pod {
  const { initContainers, ...spec } = pod.spec;
  const others = (initContainers ?? []).filter(
    ({ name }) => name !== restoreWaitContainer && name !== legacyContainer,
  );
  const wait =
    volumes.length === 0 ? [] : [restoreWait(pod.spec.containers, restoreUid, volumes, settings)];
  const all = [...wait, ...others];
  return { ...pod, spec: { ...spec, ...(all.length > 0 && { initContainers: all }) } };
}

function restoreWait(
  containers: readonly Container[],
  restoreUid: string,
  volumes: readonly string[],
  settings: RestoreWaitSettings,
): Container {
  const { args = [], command, image, imagePullPolicy } = settings;
  const field = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const paths = volumes.map((name) => `${restoresPath}/${name}`);
  return {
    name: restoreWaitContainer,
    image,
    ...(imagePullPolicy !== undefined && { imagePullPolicy }),
    ...(command && { command: [...command] }),
    args: [...args, restoreUid],
    env: [
      field("POD_NAMESPACE", "metadata.namespace"),
      field("POD_NAME", "metadata.name"),
      // So that the program need not guess; Velero's lists the directory.
      { name: restorePathsVariable, value: paths.join(":") },
    ],
    resources: settings.resources ?? restoreWaitDefaults.resources,
    // The files may be readable for the pod's own user only.
    securityContext:
      settings.securityContext ??
      containers[0]?.securityContext ??
      restoreWaitDefaults.securityContext,
    volumeMounts: volumes.map((name, index) => ({ name, mountPath: paths[index] ?? "" })),
  };
}
