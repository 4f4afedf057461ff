/**
 * What is asked of a cluster: everything here loads the client of Kubernetes, so no other command loads this. In the built program it
 * is a file of its own. Nothing but plain values and errors with codes cross its border.
 * @module
 */
import { type NodeKubeClient, nodeKubeClient } from "@dm/controller/runtime";
import {
  createRedactor,
  explain,
  explanationText,
  gather,
  mustGatherTar,
  parseSubject,
} from "@dm/controller/why";
import { type Clock, isDmError, nsPerMs } from "@dm/core";
import { namespaces } from "@dm/crds";

export interface ClusterOptions {
  /** Files, separated as in `PATH` when it comes from the environment. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly namespace?: string | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Where operators are, when neither flag nor kubeconfig say so. */
const usualNamespaces = ["openshift-adp", "velero", "dm-system"] as const;

export interface Told {
  readonly text: string;
  readonly json: unknown;
}

/** @throws {FormatError} `DM_WHY_KIND_UNKNOWN` */
export async function why(subject: string, options: ClusterOptions): Promise<Told> {
  const ref = parseSubject(subject);
  return withClient(options, async (client, namespace) => {
    const { clock, signal } = options;
    const seen = await gather(client, ref, { namespace, signal });
    const told = explain(seen, Number(clock.nowNs() / nsPerMs));
    // Words of others are passed on: servers repeat what they were sent.
    const { text } = createRedactor();
    const cleaned = (_key: string, value: unknown): unknown =>
      typeof value === "string" ? text(value) : value;
    const json: unknown = JSON.parse(JSON.stringify(told), cleaned);
    return { text: text(explanationText(told)), json };
  });
}

/** Hands over the archive piece by piece; `namespace` is where it was collected. */
export async function mustGather(
  options: ClusterOptions & { readonly version: string },
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<{ readonly namespace: string; readonly files: number }> {
  return withClient(options, async (client, namespace) => {
    let files = 0;
    const { clock, signal, version } = options;
    const onFile = (): void => {
      files++;
    };
    const parts = mustGatherTar(client, { namespace, version, clock, signal, onFile });
    for await (const bytes of parts) await write(bytes);
    return { namespace, files };
  });
}

async function withClient<Result>(
  options: ClusterOptions,
  work: (client: NodeKubeClient, namespace: string) => Promise<Result>,
): Promise<Result> {
  const { context, kubeconfig } = options;
  const client = nodeKubeClient({ kubeconfig, context, userAgent: "dm" });
  try {
    return await work(client, options.namespace ?? (await operatorNamespace(client, options)));
  } finally {
    client.close();
  }
}

/** The kubeconfig's, unless it names none or the default one; else the first usual one that is there. */
async function operatorNamespace(
  client: NodeKubeClient,
  { signal }: ClusterOptions,
): Promise<string> {
  const { namespace } = await client.describe();
  if (namespace && namespace !== "default") return namespace;
  for (const name of usualNamespaces) {
    try {
      if (await client.get(namespaces, { name }, { signal })) return name;
    } catch (error) {
      if (!isDmError(error, "DM_KUBE_FORBIDDEN")) throw error;
    }
  }
  return usualNamespaces[0];
}
