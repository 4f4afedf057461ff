/**
 * Where the API server is and as whom it is asked, for a process in a pod: the files of its service account, or a kubeconfig file
 * in JSON that `KUBECONFIG` names. `@kubernetes/client-node`, which reads more, would cost a mover more memory than its data path.
 * Proof: test/mover/pod-connection.test.ts.
 * @module
 */
import { readFile } from "node:fs/promises";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { AccessError, type Clock, nsPerMs, systemClock } from "@dm/core";
import type { KubeConnection } from "../runtime/kube-connection.ts";

export interface PodConnectionOptions {
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Of the service account; where Kubernetes mounts them by default. */
  readonly directory?: string | undefined;
  readonly clock?: Clock | undefined;
}

export const serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Tokens are rotated: files are read again after this time, and when the server refuses one. */
const reloadMs = 60_000;
const idleSocketMs = 45_000;

interface Server {
  readonly url: string;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly insecure?: boolean | undefined;
  readonly token?: string | undefined;
  readonly namespace?: string | undefined;
}

/** @throws {AccessError} (from its calls) `DM_KUBE_CONFIG` */
export function podConnection(options: PodConnectionOptions = {}): KubeConnection {
  const { clock = systemClock, environment = process.env } = options;
  let generation = 0;
  let loaded: { readonly server: Promise<Server>; readonly atNs: bigint } | undefined;
  let agent: { readonly value: HttpAgent; readonly of: string } | undefined;

  const load = (): Promise<Server> => {
    const now = clock.nowNs();
    if (loaded === undefined || now - loaded.atNs >= BigInt(reloadMs) * nsPerMs) {
      const server = readServer(environment, options.directory ?? serviceAccountDirectory);
      server.catch(() => {
        loaded = undefined;
      });
      loaded = { server, atNs: now };
    }
    return loaded.server;
  };

  const agentOf = ({ ca, cert, insecure, key, url }: Server): HttpAgent => {
    const of = JSON.stringify([url, ca, cert, key, insecure]);
    if (agent?.of === of) return agent.value;
    agent?.value.destroy();
    const keep = { keepAlive: true, timeout: idleSocketMs };
    const value = url.startsWith("http:")
      ? new HttpAgent(keep)
      : new HttpsAgent({
          ...keep,
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert, key }),
          ...(insecure === true ? { rejectUnauthorized: false } : {}),
        });
    agent = { value, of };
    return value;
  };

  return {
    async prepare() {
      const server = await load();
      return {
        base: new URL(server.url),
        agent: agentOf(server),
        headers: server.token === undefined ? {} : { authorization: `Bearer ${server.token}` },
        generation,
      };
    },
    reload(seen) {
      if (seen !== generation) return;
      generation += 1;
      loaded = undefined;
    },
    async describe() {
      const { namespace, url } = await load();
      return { server: url, context: "pod", namespace };
    },
    close() {
      agent?.value.destroy();
      agent = undefined;
    },
  };
}

async function readServer(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
): Promise<Server> {
  const kubeconfig = environment["KUBECONFIG"];
  try {
    return kubeconfig ? await fromKubeconfig(kubeconfig) : await inCluster(environment, directory);
  } catch (cause) {
    if (cause instanceof AccessError) throw cause;
    const code = (cause as { code?: unknown }).code;
    throw configError(
      kubeconfig
        ? `${kubeconfig} cannot be read as a kubeconfig file in JSON`
        : `the service account's files in ${directory} cannot be read`,
      typeof code === "string" ? ` (${code})` : "",
      cause,
    );
  }
}

async function inCluster(
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
): Promise<Server> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = environment;
  if (!host) throw configError("there is neither KUBECONFIG nor KUBERNETES_SERVICE_HOST");
  const [ca, token, namespace] = await Promise.all(
    ["ca.crt", "token", "namespace"].map((name) => readFile(`${directory}/${name}`, "utf8")),
  );
  return {
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca,
    token: token?.trim(),
    namespace: namespace?.trim(),
  };
}

/** The members that are read; each entry of a list has a name and what it names. */
interface Kubeconfig {
  readonly "current-context"?: string;
  readonly contexts?: readonly {
    readonly name?: string;
    readonly context?: { cluster?: string; user?: string; namespace?: string };
  }[];
  readonly clusters?: readonly {
    readonly name?: string;
    readonly cluster?: Readonly<Record<string, unknown>>;
  }[];
  readonly users?: readonly {
    readonly name?: string;
    readonly user?: Readonly<Record<string, unknown>>;
  }[];
}

async function fromKubeconfig(path: string): Promise<Server> {
  const config = JSON.parse(await readFile(path, "utf8")) as Kubeconfig;
  const current = config["current-context"];
  const context = config.contexts?.find(({ name }) => name === current)?.context;
  const cluster = config.clusters?.find(({ name }) => name === context?.cluster)?.cluster;
  const user = config.users?.find(({ name }) => name === context?.user)?.user ?? {};
  const url = cluster?.["server"];
  if (cluster === undefined || typeof url !== "string")
    throw configError(`the current context of ${path} names no server`);
  const tokenFile = textOf(user["tokenFile"]);
  return {
    url,
    ca: await pem(cluster, "certificate-authority"),
    insecure: cluster["insecure-skip-tls-verify"] === true,
    cert: await pem(user, "client-certificate"),
    key: await pem(user, "client-key"),
    token:
      tokenFile === undefined ? textOf(user["token"]) : (await readFile(tokenFile, "utf8")).trim(),
    namespace: context?.namespace,
  };
}

/** From the file of this name, or from `<name>-data`. */
async function pem(
  members: Readonly<Record<string, unknown>>,
  name: string,
): Promise<string | undefined> {
  const data = textOf(members[`${name}-data`]);
  if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
  const path = textOf(members[name]);
  return path === undefined ? undefined : readFile(path, "utf8");
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The content of the files is not repeated: it is secret. */
function configError(message: string, reason = "", cause?: unknown): AccessError {
  return new AccessError("DM_KUBE_CONFIG", `${message}${reason}`, {}, { cause });
}
