/**
 * The way of a request: who is it, may he, does a fault stand in the way, who answers.
 * Proof: test/api-server/access.test.ts, test/api-server/faults.test.ts.
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { notFound, unknownPath } from "./api-error.ts";
import { type ApiRequest, sendText } from "./api-request.ts";
import { type Authenticator, impersonatedUser, type User } from "./authentication.ts";
import { createOpenApiHandler, serveDiscovery } from "./discovery-handlers.ts";
import { serveExec } from "./exec.ts";
import type { FaultControl, FaultyRequest } from "./faults.ts";
import type { PodStreams } from "./pod-streams.ts";
import { requireStreams } from "./pod-subresources.ts";
import { type AccessAttributes, accessDenied, isAllowed } from "./rbac.ts";
import type { Registry } from "./registry.ts";
import type { createRequestLog } from "./request-log.ts";
import { accessAttributes, parseResourcePath, type ResourcePath } from "./request-path.ts";
import { handleResource } from "./resource-handlers.ts";

export interface DeniedRequest extends AccessAttributes {
  readonly user: string;
}

export interface DispatchOptions {
  readonly registry: Registry;
  readonly authenticator: Authenticator;
  readonly faults: FaultControl;
  readonly log: ReturnType<typeof createRequestLog>;
  /** Ends streams when the server stops. */
  readonly stopped: AbortSignal;
  podStreams(): PodStreams | undefined;
}

export interface RequestDispatch {
  readonly denied: readonly DeniedRequest[];
  /** @throws {ApiError} */
  serve(incoming: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void>;
  /** @throws {ApiError} */
  serveUpgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
}

export function createDispatch(options: DispatchOptions): RequestDispatch {
  const { registry, authenticator, faults, log } = options;
  const serveOpenApi = createOpenApiHandler(registry);
  const denied: DeniedRequest[] = [];

  const authorize = (user: User, wanted: AccessAttributes): void => {
    if (isAllowed(registry.store, user, wanted)) return;
    denied.push({ user: user.name, ...wanted });
    throw accessDenied(user, wanted);
  };

  const userOf = ({ headers }: IncomingMessage): User => {
    const user = authenticator.authenticate(headers.authorization);
    const other = headers["impersonate-user"];
    if (typeof other !== "string") return user;
    const nothing = { subresource: "", namespace: undefined };
    authorize(user, { verb: "impersonate", group: "", resource: "users", name: other, ...nothing });
    return impersonatedUser(other, headers["impersonate-group"]);
  };

  /** Everything that comes before the answer. */
  const admit = async (
    incoming: IncomingMessage,
    path: string,
    query: URLSearchParams,
    signal: AbortSignal,
  ): Promise<{ readonly user: User; readonly resource: ResourcePath | undefined }> => {
    const user = userOf(incoming);
    const resource = parseResourcePath(path);
    const wanted = accessAttributes(incoming.method ?? "GET", path, resource, query);
    const request = describe(incoming, user, wanted);
    const { subresource } = wanted;
    log.record(
      request,
      subresource === "" ? request.resource : `${request.resource}/${subresource}`,
    );
    const kind = resource && registry.findKind(resource.group, resource.version, resource.plural);
    await faults.before(request, kind, signal);
    authorize(user, wanted);
    return { user, resource };
  };

  return {
    denied,
    async serve(incoming, response, signal) {
      const { pathname: path, searchParams: query } = new URL(incoming.url ?? "/", "http://server");
      if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) {
        sendText(response, 200, "ok", "text/plain");
        return;
      }
      const { user, resource } = await admit(incoming, path, query, signal);
      const { method = "GET", headers } = incoming;
      const request: ApiRequest = {
        method,
        path,
        query,
        headers,
        user,
        incoming,
        response,
        signal,
      };
      if (serveDiscovery(registry, request) || serveOpenApi(request)) return;
      if (resource === undefined) throw unknownPath();
      const podStreams = options.podStreams();
      const refused = (wanted: AccessAttributes): void => {
        denied.push({ user: user.name, ...wanted });
      };
      const context = { registry, podStreams, authenticator, watchGate: faults.watchGate, refused };
      await handleResource(context, request, resource);
    },
    async serveUpgrade(incoming, socket, head) {
      const { pathname, searchParams: query } = new URL(incoming.url ?? "/", "http://server");
      const { resource } = await admit(incoming, pathname, query, options.stopped);
      const isExec = resource?.plural === "pods" && resource.subresource === "exec";
      if (!isExec || !resource.name) throw unknownPath();
      const kind = registry.kind("pods");
      const pod = registry.get(kind, resource.namespace ?? "", resource.name);
      if (pod === undefined) throw notFound(kind, resource.name);
      const podStreams = requireStreams(options.podStreams());
      const signal = options.stopped;
      await serveExec({ pod, podStreams, query, incoming, socket, head, signal });
    },
  };
}

function describe(incoming: IncomingMessage, user: User, wanted: AccessAttributes): FaultyRequest {
  const { verb, group, resource, name, namespace } = wanted;
  return {
    verb,
    resource: group === "" ? resource : `${resource}.${group}`,
    name,
    namespace,
    user: user.name,
    userAgent: (incoming.headers["user-agent"] ?? "").split("/")[0] ?? "",
  };
}
