/**
 * The API server: HTTPS on loopback over a registry of objects, and the same objects for the parts of the cluster in this process.
 * Proof: test/api-server/http.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
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
import type { Json, NewObject } from "../kube-object.ts";
import { ApiError, notFound, unknownPath } from "./api-error.ts";
import { type ApiRequest, asApiError, sendError, sendJson, sendText } from "./api-request.ts";
import {
  type Authenticator,
  createAuthenticator,
  impersonatedUser,
  newTokenKey,
  type User,
} from "./authentication.ts";
import { createServerCertificate, type ServerCertificate } from "./certificate.ts";
import { createClusterView } from "./cluster-view.ts";
import { aggregatedDiscovery, coreVersions, group, groupList, resourceList } from "./discovery.ts";
import { serveExec } from "./exec-socket.ts";
import { kubeconfigText } from "./kubeconfig.ts";
import { ObjectStore } from "./object-store.ts";
import { type OpenApi, openApi } from "./openapi.ts";
import type { PodStreams } from "./pod-streams.ts";
import { requireStreams } from "./pod-subresources.ts";
import { type AccessAttributes, accessDenied, isAllowed } from "./rbac.ts";
import { Registry } from "./registry.ts";
import { accessAttributes, parseResourcePath } from "./request-path.ts";
import { handleResource } from "./resource-handlers.ts";

export interface ApiServerOptions {
  /** The system clock by default. Timers of watches run by it too: not for clocks whose `sleep` returns at once. */
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** A free one by default. */
  readonly port?: number | undefined;
  /** Logs and exec; can be set later with `setPodStreams`. */
  readonly podStreams?: PodStreams | undefined;
  /**
   * HTTPS with a certificate of its own by default; false for plain HTTP, over which kubectl sends no token and is refused.
   */
  readonly tls?: ServerCertificate | false | undefined;
}

export interface KubeconfigOptions {
  /** Speak as this service account instead of the administrator. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string } | undefined;
  /** Of the context. */
  readonly namespace?: string | undefined;
}

export interface DeniedRequest extends AccessAttributes {
  readonly user: string;
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
  /** Forgets old versions: watches and continued lists from before get 410. */
  compact(): void;
  /** Ends all connections. */
  close(): Promise<void>;
}

const serverVersion = {
  major: "1",
  minor: "33",
  gitVersion: "v1.33.1",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: "linux/amd64",
};

const clusterAdmin = {
  apiVersion: "rbac.authorization.k8s.io/v1",
  metadata: { name: "cluster-admin" },
};

/** What every cluster has besides namespaces. */
const firstRoles: readonly [string, NewObject][] = [
  [
    "clusterroles.rbac.authorization.k8s.io",
    {
      ...clusterAdmin,
      kind: "ClusterRole",
      rules: [
        { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
        { nonResourceURLs: ["*"], verbs: ["*"] },
      ],
    },
  ],
  [
    "clusterrolebindings.rbac.authorization.k8s.io",
    {
      ...clusterAdmin,
      kind: "ClusterRoleBinding",
      roleRef: {
        apiGroup: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        name: "cluster-admin",
      },
      subjects: [{ kind: "Group", name: "system:masters" }],
    },
  ],
];

/** Namespaces that every cluster has. */
const firstNamespaces = ["default", "kube-node-lease", "kube-public", "kube-system"];

/**
 * @example
 * const server = await createApiServer();
 * await server.kubeconfig("/tmp/kubeconfig"); // kubectl --kubeconfig /tmp/kubeconfig get namespaces
 * server.cluster.create("configmaps", { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default" } });
 * await server.close();
 */
export async function createApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const { clock = systemClock, logger = silentLogger } = options;
  const authenticator = createAuthenticator(newTokenKey());
  const store = new ObjectStore();
  const registry = new Registry(store, clock);
  for (const name of firstNamespaces) {
    if (registry.get(registry.kind("namespaces"), "", name) !== undefined) continue;
    registry.create(registry.kind("namespaces"), {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name },
    });
  }
  for (const [resource, object] of firstRoles) {
    const kind = registry.kind(resource);
    if (registry.get(kind, "", object.metadata.name ?? "") === undefined) {
      registry.create(kind, object);
    }
  }
  let podStreams = options.podStreams;
  const stopped = new AbortController();
  const sockets = new Set<Socket>();

  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    serve(incoming, response, AbortSignal.any([gone.signal, stopped.signal])).catch(
      (error: unknown) => {
        if (!(error instanceof ApiError)) {
          logger.error("Request failed", { url: incoming.url, error });
        }
        if (response.headersSent) response.destroy();
        else sendError(response, error);
      },
    );
  };

  const userOf = ({ headers }: IncomingMessage): User => {
    const user = authenticator.authenticate(headers.authorization);
    const other = headers["impersonate-user"];
    if (typeof other !== "string") return user;
    const nothing = { subresource: "", namespace: undefined };
    authorize(user, { verb: "impersonate", group: "", resource: "users", name: other, ...nothing });
    return impersonatedUser(other, headers["impersonate-group"]);
  };

  const serve = async (
    incoming: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> => {
    const url = new URL(incoming.url ?? "/", "http://server");
    const { pathname: path, searchParams: query } = url;
    if (isHealthPath(path)) {
      sendText(response, 200, "ok", "text/plain");
      return;
    }
    const user = userOf(incoming);
    const method = incoming.method ?? "GET";
    const { headers } = incoming;
    const request: ApiRequest = { method, path, query, headers, user, incoming, response, signal };
    const resource = parseResourcePath(path);
    authorize(request.user, accessAttributes(method, path, resource, query));
    if (serveDiscovery(registry, request) || serveOpenApi(request)) return;
    if (resource === undefined) throw unknownPath();
    const context = { registry, podStreams, authenticator, watchGate: () => undefined };
    await handleResource(context, request, resource);
  };

  const denied: DeniedRequest[] = [];
  const authorize = (user: User, wanted: AccessAttributes): void => {
    if (isAllowed(store, user, wanted)) return;
    denied.push({ user: user.name, ...wanted });
    throw accessDenied(user, wanted);
  };

  let documents: { readonly kindsVersion: number; readonly value: OpenApi } | undefined;
  const serveOpenApi = ({ path, response }: ApiRequest): boolean => {
    if (!/^\/openapi\/v3(\/|$)/.test(path)) return false;
    const { kindsVersion } = registry;
    if (documents?.kindsVersion !== kindsVersion) {
      documents = { kindsVersion, value: openApi(registry) };
    }
    const name = path.slice("/openapi/v3/".length).replace(/\/$/, "");
    const { index, documents: byName } = documents.value;
    const text = name === "" ? index : byName.get(name);
    if (text === undefined) throw unknownPath();
    sendText(response, 200, text);
    return true;
  };

  const serveUpgrade = async (
    incoming: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> => {
    const { pathname, searchParams: query } = new URL(incoming.url ?? "/", "http://server");
    const user = userOf(incoming);
    const path = parseResourcePath(pathname);
    if (path?.plural !== "pods" || path.subresource !== "exec" || !path.name) throw unknownPath();
    authorize(user, accessAttributes("GET", pathname, path, query));
    const kind = registry.kind("pods");
    const pod = registry.get(kind, path.namespace ?? "", path.name);
    if (pod === undefined) throw notFound(kind, path.name);
    const streams = requireStreams(podStreams);
    await serveExec({
      pod,
      podStreams: streams,
      query,
      incoming,
      socket,
      head,
      signal: stopped.signal,
    });
  };

  const tls = options.tls === false ? undefined : (options.tls ?? createServerCertificate());
  const server: Server = tls
    ? createHttpsServer({ key: tls.key, cert: tls.cert }, listener)
    : createHttpServer(listener);
  server.keepAliveTimeout = 120_000;
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    serveUpgrade(incoming, socket, head).catch((error: unknown) => refuseUpgrade(socket, error));
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
  const certificateAuthority = tls?.cert;
  const cluster = createClusterView({
    registry,
    url,
    certificateAuthority,
    tokenFor: authenticator.tokenFor,
  });

  return {
    cluster,
    url,
    adminToken: authenticator.adminToken,
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
    denied,
    compact: () => store.compact(),
    async close() {
      stopped.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
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

function isHealthPath(path: string): boolean {
  return /^\/(healthz|livez|readyz)(\/|$)/.test(path);
}

/** Whether the path was one of discovery, and is answered. */
function serveDiscovery(registry: Registry, request: ApiRequest): boolean {
  const segments = request.path.split("/").filter((segment) => segment !== "");
  const [first, second, third, ...more] = segments;
  const { response } = request;
  if (first === "version" && second === undefined) {
    sendJson(response, 200, serverVersion);
    return true;
  }
  if (first === "api" && third === undefined) {
    if (second === undefined) {
      sendDiscovery(request, registry, true, coreVersions(request.headers.host ?? ""));
    } else sendKnown(request, resourceList(registry, "", second));
    return true;
  }
  if (first !== "apis" || more.length > 0) return false;
  if (second === undefined) sendDiscovery(request, registry, false, groupList(registry));
  else if (third === undefined) sendKnown(request, group(registry, second));
  else sendKnown(request, resourceList(registry, second, third));
  return true;
}

function sendKnown({ response }: ApiRequest, value: Json): void {
  if (value === undefined) throw unknownPath();
  sendJson(response, 200, value);
}

function sendDiscovery(request: ApiRequest, registry: Registry, core: boolean, plain: Json): void {
  const { response, headers } = request;
  const accepted = /g=apidiscovery\.k8s\.io;v=(v2beta1|v2);as=APIGroupDiscoveryList/.exec(
    headers.accept ?? "",
  );
  if (!accepted) {
    sendJson(response, 200, plain);
    return;
  }
  const version = accepted[1] as string;
  const text = JSON.stringify(aggregatedDiscovery(registry, core, version));
  const tag = `"${createHash("sha256").update(text).digest("hex").toUpperCase()}"`;
  response.setHeader("ETag", tag);
  response.setHeader("Vary", "Accept");
  if (headers["if-none-match"] === tag) {
    response.writeHead(304);
    response.end();
    return;
  }
  const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  sendText(response, 200, text, type);
}
