/**
 * The API server: HTTPS on loopback over a registry of objects, and the same objects for the parts of the cluster in this process.
 * Proof: test/api-server/http.test.ts, test/api-server/persistence.test.ts.
 * @module
 */
import { writeFile } from "node:fs/promises";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { NewObject } from "../kube-object.ts";
import { ApiError } from "./api-error.ts";
import { asApiError, sendError } from "./api-request.ts";
import { type Authenticator, createAuthenticator, newTokenKey } from "./authentication.ts";
import { createServerCertificate, type ServerCertificate } from "./certificate.ts";
import { createClusterView } from "./cluster-view.ts";
import { type ApiFaults, createFaults } from "./faults.ts";
import { type Journal, openJournal, readIdentity, writeIdentity } from "./journal.ts";
import { kubeconfigText } from "./kubeconfig.ts";
import { ObjectStore } from "./object-store.ts";
import type { PodStreams } from "./pod-streams.ts";
import { Registry } from "./registry.ts";
import { createDispatch, type DeniedRequest } from "./request-dispatch.ts";
import { createRequestLog, type RequestLog } from "./request-log.ts";

export interface ApiServerOptions {
  /** The system clock by default. Timers of watches run by it too: not for clocks whose `sleep` returns at once. */
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** The one of the last run in this directory if it is free, else any free one by default. */
  readonly port?: number | undefined;
  /** Where the state is kept; without it, it ends with the server. */
  readonly directory?: string | undefined;
  /** Logs and exec; can be set later with `setPodStreams`. */
  readonly podStreams?: PodStreams | undefined;
  /**
   * HTTPS with a certificate of its own by default; false for plain HTTP, over which kubectl sends no token and is refused.
   */
  readonly tls?: ServerCertificate | false | undefined;
  /** Of the generator that faults draw from; 1 by default. */
  readonly faultSeed?: number | undefined;
}

export interface KubeconfigOptions {
  /** Speak as this service account instead of the administrator. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string } | undefined;
  /** Of the context. */
  readonly namespace?: string | undefined;
}

export interface ApiServer {
  readonly cluster: ClusterApi;
  readonly url: string;
  readonly adminToken: string;
  /** Writes a kubeconfig file that only its owner can read. */
  kubeconfig(path: string, options?: KubeconfigOptions): Promise<void>;
  setPodStreams(streams: PodStreams): void;
  /** Requests that RBAC refused, oldest first. */
  readonly denied: readonly DeniedRequest[];
  /** Requests that came over HTTP. */
  readonly requests: RequestLog;
  /** Switches for bad days. */
  readonly faults: ApiFaults;
  /** Cuts every watch now. */
  dropWatches(): void;
  /** False ends all connections and refuses new ones until it is true again. */
  setReachable(reachable: boolean): void;
  /** Forgets old versions: watches and continued lists from before get 410. */
  compact(): void;
  /** Ends all connections. */
  close(): Promise<void>;
}

const adminRole = {
  apiVersion: "rbac.authorization.k8s.io/v1",
  metadata: { name: "cluster-admin" },
};

const roleGroup = "rbac.authorization.k8s.io";

/** What every cluster has at the beginning. */
const firstObjects: readonly (readonly [resource: string, object: NewObject])[] = [
  ...["default", "kube-node-lease", "kube-public", "kube-system"].map(
    (name) => ["namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } }] as const,
  ),
  [
    `clusterroles.${roleGroup}`,
    {
      ...adminRole,
      kind: "ClusterRole",
      rules: [
        { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
        { nonResourceURLs: ["*"], verbs: ["*"] },
      ],
    },
  ],
  [
    `clusterrolebindings.${roleGroup}`,
    {
      ...adminRole,
      kind: "ClusterRoleBinding",
      roleRef: { apiGroup: roleGroup, kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ kind: "Group", name: "system:masters" }],
    },
  ],
];

/**
 * @throws {FormatError} `DM_TESTBED_STATE` when the directory holds something else than the state of a server
 * @example
 * const server = await createApiServer();
 * await server.kubeconfig("/tmp/kubeconfig"); // kubectl --kubeconfig /tmp/kubeconfig get namespaces
 * server.cluster.create("configmaps", { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default" } });
 * await server.close();
 */
export async function createApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const { clock = systemClock, logger = silentLogger, directory } = options;
  const journal = directory === undefined ? undefined : openJournal(directory);
  const identity = directory === undefined ? undefined : readIdentity(directory);
  const tokenKey = identity ? Buffer.from(identity.tokenKey, "base64") : newTokenKey();
  const tls =
    options.tls === false
      ? undefined
      : (options.tls ?? identity?.certificate ?? createServerCertificate());

  const authenticator = createAuthenticator(tokenKey);
  const registry = new Registry(openStore(journal), clock);
  for (const [resource, object] of firstObjects) {
    const kind = registry.kind(resource);
    if (registry.get(kind, "", object.metadata.name ?? "")) continue;
    registry.create(kind, object);
  }

  let { podStreams } = options;
  let reachable = true;
  const stopped = new AbortController();
  const log = createRequestLog();
  const faults = createFaults(clock, options.faultSeed ?? 1);
  const dispatch = createDispatch({
    registry,
    authenticator,
    faults,
    log,
    stopped: stopped.signal,
    podStreams: () => podStreams,
  });

  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopped.signal]);
    dispatch.serve(incoming, response, signal).catch((error: unknown) => {
      if (signal.aborted) response.destroy();
      else if (!(error instanceof ApiError)) {
        logger.error("Request failed", { method: incoming.method, url: incoming.url, error });
      }
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    });
  };
  const server: Server = tls
    ? createHttpsServer({ key: tls.key, cert: tls.cert }, listener)
    : createHttpServer(listener);
  server.keepAliveTimeout = 120_000;
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    dispatch
      .serveUpgrade(incoming, socket, head)
      .catch((error: unknown) => refuseUpgrade(socket, error));
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (!reachable) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const dropConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };

  const port = await listen(server, options.port, identity?.port);
  if (directory !== undefined) {
    writeIdentity(directory, {
      tokenKey: tokenKey.toString("base64"),
      certificate: tls,
      port,
    });
  }
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
  const certificateAuthority = tls?.cert;
  const { tokenFor, adminToken } = authenticator;

  return {
    cluster: createClusterView({ registry, url, certificateAuthority, tokenFor }),
    url,
    adminToken,
    async kubeconfig(path, { serviceAccount, namespace } = {}) {
      const text = kubeconfigText({
        url,
        certificateAuthority,
        token: tokenOf(authenticator, serviceAccount),
        user: serviceAccount?.name ?? "admin",
        namespace: namespace ?? serviceAccount?.namespace,
      });
      await writeFile(path, text, { mode: 0o600 });
    },
    setPodStreams(streams) {
      podStreams = streams;
    },
    denied: dispatch.denied,
    requests: log,
    faults: faults.faults,
    dropWatches: faults.dropWatches,
    setReachable(value) {
      reachable = value;
      if (!value) dropConnections();
    },
    compact: () => registry.store.compact(),
    async close() {
      stopped.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      dropConnections();
      await closed;
      journal?.close();
    },
  };
}

function openStore(journal: Journal | undefined): ObjectStore {
  if (journal === undefined) return new ObjectStore();
  const store = new ObjectStore({
    version: Math.max(1, journal.version),
    record: (resource, key, object, version) =>
      journal.append({ resource, key, version, object: object ?? null }),
  });
  for (const { resource, key, object, version } of journal.entries) {
    store.restore(resource, key, object ?? undefined, version);
  }
  return store;
}

/** The port that the server got. */
async function listen(
  server: Server,
  wanted: number | undefined,
  last: number | undefined,
): Promise<number> {
  const attempt = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", reject);
        resolve();
      });
    });
  if (wanted !== undefined || last === undefined) await attempt(wanted ?? 0);
  else await attempt(last).catch(() => attempt(0));
  return (server.address() as AddressInfo).port;
}

function refuseUpgrade(socket: Duplex, error: unknown): void {
  const refusal = asApiError(error);
  const body = JSON.stringify(refusal);
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? refusal.reason}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function tokenOf(
  authenticator: Authenticator,
  account: KubeconfigOptions["serviceAccount"],
): string {
  if (account === undefined) return authenticator.adminToken;
  return authenticator.tokenFor(account.namespace, account.name);
}
