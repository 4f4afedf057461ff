/**
 * What lets a pod's processes speak for its service account: token, certificate authority, namespace, and a kubeconfig of them,
 * as no program of the host finds the fixed path that in-cluster configuration reads.
 * Proof: test/kubelet/service-account.test.ts.
 * @module
 */
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import { writePayload } from "./payload-files.ts";

/** Where a container finds it. */
export const serviceAccountPath = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface ServiceAccountFiles {
  readonly directory: string;
  readonly kubeconfigPath: string;
}

export async function writeServiceAccountFiles(
  api: ClusterApi,
  pod: StoredObject,
  directory: string,
): Promise<ServiceAccountFiles> {
  const { namespace = "" } = pod.metadata;
  const account: string = pod.spec?.serviceAccountName ?? "default";
  const files = new Map<string, string>([
    ["token", api.tokenFor(namespace, account)],
    ["namespace", namespace],
    ["kubeconfig", kubeconfig(api, namespace, account)],
  ]);
  if (api.certificateAuthority !== undefined) files.set("ca.crt", api.certificateAuthority);
  await writePayload(directory, files, 0o600);
  await chmod(directory, 0o700);
  return { directory, kubeconfigPath: join(directory, "kubeconfig") };
}

/** JSON is YAML. The token stands in the file itself, which only its owner reads. */
function kubeconfig(api: ClusterApi, namespace: string, account: string): string {
  const authority = api.certificateAuthority;
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: "testbed",
        cluster: {
          server: api.url,
          ...(authority === undefined
            ? // @kubernetes/client-node refuses plain http without it.
              { "insecure-skip-tls-verify": true }
            : { "certificate-authority-data": Buffer.from(authority).toString("base64") }),
        },
      },
    ],
    users: [{ name: account, user: { token: api.tokenFor(namespace, account) } }],
    contexts: [{ name: "pod", context: { cluster: "testbed", user: account, namespace } }],
    "current-context": "pod",
  });
}
