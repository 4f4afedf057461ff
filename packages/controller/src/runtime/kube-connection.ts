/**
 * Where the API server is and as whom it is asked: kubeconfig files, the service account of a pod, exec plugins, client
 * certificates, proxies. `@kubernetes/client-node` reads and refreshes all of it; it is imported when the first call is made,
 * because that takes most of a second.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent, type RequestOptions } from "node:https";
import { AccessError, type DmError } from "@dm/core";
import type { Cluster, KubeConfig, User } from "@kubernetes/client-node";

/** One server by its address, without a kubeconfig file. */
export interface KubeServer {
  /** `https://host:port`, or `http://` for a server on loopback. */
  readonly url: string;
  /** PEM. */
  readonly certificateAuthority?: string | undefined;
  readonly token?: string | undefined;
  /** Read again after a minute and whenever the server refuses the token. */
  readonly tokenFile?: string | undefined;
}

export interface KubeConnectionOptions {
  /** A kubeconfig file. Without it: `KUBECONFIG`, `~/.kube/config`, the service account of this pod. */
  readonly kubeconfig?: string | undefined;
  /** Context of the kubeconfig; its current one by default. */
  readonly context?: string | undefined;
  /** Instead of a kubeconfig. */
  readonly server?: KubeServer | undefined;
}

/** What one request needs to know. */
export interface PreparedConnection {
  readonly base: URL;
  readonly agent: HttpAgent;
  readonly headers: Record<string, string>;
  /** Grows with every reload of the credentials. */
  readonly generation: number;
}

export interface KubeConnectionDescription {
  readonly server: string;
  readonly context: string;
  /** Of the context; in a pod that of its service account. */
  readonly namespace: string | undefined;
}

export interface KubeConnection {
  /** Credentials of this moment, refreshed when they expire. */
  prepare(): Promise<PreparedConnection>;
  /** Reads everything again, unless that has happened since `generation`. */
  reload(generation: number): void;
  describe(): Promise<KubeConnectionDescription>;
  /** Closes idle connections. */
  close(): void;
}

/** Idle connections are kept this long; load balancers drop them after a minute or more. */
const idleSocketMs = 45_000;

/** @throws {AccessError} (from its calls) `DM_KUBE_CONFIG` when the configuration or its credentials cannot be read */
export function createKubeConnection(options: KubeConnectionOptions): KubeConnection {
  let loading: Promise<KubeConfig> | undefined;
  let generation = 0;
  let agent: { readonly value: HttpAgent; readonly tls: TlsParts } | undefined;

  const config = (): Promise<KubeConfig> => {
    loading ??= loadConfig(options).catch((cause: unknown) => {
      loading = undefined;
      throw configError("the Kubernetes configuration cannot be read", cause);
    });
    return loading;
  };

  const agentFor = (url: URL, tls: TlsParts): HttpAgent => {
    if (agent && sameTls(agent.tls, tls)) return agent.value;
    agent?.value.destroy();
    const keep = { keepAlive: true, keepAliveMsecs: 30_000, timeout: idleSocketMs };
    const value =
      url.protocol === "http:"
        ? new HttpAgent(keep)
        : new HttpsAgent({ ...keep, ...definedOnly(tls) });
    agent = { value, tls };
    return value;
  };

  return {
    async prepare() {
      const current = await config();
      const at = generation;
      const cluster = current.getCurrentCluster();
      if (!cluster) throw configError("the Kubernetes configuration names no cluster");
      const applied: RequestOptions = { headers: {} };
      try {
        await current.applyToHTTPSOptions(applied);
      } catch (cause) {
        throw configError("the Kubernetes credentials cannot be used", cause);
      }
      const base = new URL(cluster.server);
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(applied.headers ?? {})) {
        // Token files often end in a line break, which no header may hold.
        headers[name.toLowerCase()] = String(value).trim();
      }
      if (applied.auth) {
        headers["authorization"] = `Basic ${Buffer.from(applied.auth).toString("base64")}`;
      }
      const own = cluster.proxyUrl === undefined || cluster.proxyUrl === "";
      return {
        base,
        agent: own ? agentFor(base, applied) : (applied.agent as HttpAgent),
        headers,
        generation: at,
      };
    },
    reload(seen) {
      if (seen !== generation) return;
      generation += 1;
      loading = undefined;
    },
    async describe() {
      const current = await config();
      const name = current.getCurrentContext();
      return {
        server: current.getCurrentCluster()?.server ?? "",
        context: name,
        namespace: current.getContextObject(name)?.namespace?.trim(),
      };
    },
    close() {
      agent?.value.destroy();
      agent = undefined;
    },
  };
}

type TlsParts = Pick<RequestOptions, "ca" | "cert" | "key" | "rejectUnauthorized" | "servername">;

const tlsNames = ["ca", "cert", "key", "rejectUnauthorized", "servername"] as const;

function sameTls(a: TlsParts, b: TlsParts): boolean {
  return tlsNames.every((name) => String(a[name] ?? "") === String(b[name] ?? ""));
}

function definedOnly(tls: TlsParts): TlsParts {
  return Object.fromEntries(
    tlsNames.filter((name) => tls[name] !== undefined).map((name) => [name, tls[name]]),
  );
}

async function loadConfig(options: KubeConnectionOptions): Promise<KubeConfig> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  if (options.server) {
    config.loadFromClusterAndUser(clusterOf(options.server), userOf(options.server));
  } else if (options.kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromFile(options.kubeconfig);
  if (options.context !== undefined) {
    if (!config.getContextObject(options.context)) {
      throw new Error(`there is no context "${options.context}"`);
    }
    config.setCurrentContext(options.context);
  }
  return config;
}

function clusterOf({ url, certificateAuthority }: KubeServer): Cluster {
  return {
    name: "server",
    server: url,
    // client-node refuses http:// without it.
    skipTLSVerify: url.startsWith("http:"),
    ...(certificateAuthority === undefined
      ? {}
      : { caData: Buffer.from(certificateAuthority).toString("base64") }),
  };
}

function userOf({ token, tokenFile }: KubeServer): User {
  if (tokenFile === undefined) return { name: "user", ...(token === undefined ? {} : { token }) };
  return { name: "user", authProvider: { name: "tokenFile", config: { tokenFile } } };
}

function configError(message: string, cause?: unknown): DmError {
  // Exec plugins may print anything: only the system's own reason is repeated.
  const code = (cause as { code?: unknown } | undefined)?.code;
  const reason = typeof code === "string" ? ` (${code})` : "";
  return new AccessError("DM_KUBE_CONFIG", `${message}${reason}`, {}, { cause });
}
