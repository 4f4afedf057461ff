/**
 * The REST verbs on resources: get, list, watch, create, replace, patch, delete, delete a collection.
 * Proof: test/api-server/http.test.ts.
 * @module
 */
import { nowMs } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { answerReview, answerTokenRequest } from "./access-reviews.ts";
import {
  ApiError,
  badRequest,
  expired,
  methodNotAllowed,
  notFound,
  unknownPath,
} from "./api-error.ts";
import {
  type ApiKind,
  type ApiVersion,
  resourceOf,
  type ScalePaths,
  versionOf,
} from "./api-kind.ts";
import {
  type ApiRequest,
  mediaType,
  parseText,
  readBody,
  sendJson,
  sendText,
} from "./api-request.ts";
import type { Authenticator } from "./authentication.ts";
import { forbidEscalation } from "./escalation.ts";
import { isObject } from "./json.ts";
import { storeKey } from "./object-store.ts";
import { applyPatchType, patcherFor } from "./patches.ts";
import type { PodStreams } from "./pod-streams.ts";
import { handlePodSubresource } from "./pod-subresources.ts";
import { decodeProtobuf, protobufType } from "./protobuf.ts";
import type { AccessAttributes } from "./rbac.ts";
import type { Registry } from "./registry.ts";
import { deleteOptions, writeOptions } from "./request-options.ts";
import type { ResourcePath } from "./request-path.ts";
import { scaleOf, setScale } from "./scale.ts";
import { objectFilter } from "./selectors.ts";
import { type Rendering, renderingFor } from "./table.ts";
import type { WriteSubresource } from "./update-rules.ts";
import { streamWatch, type WatchGate } from "./watch-stream.ts";

export interface HandlerContext {
  readonly registry: Registry;
  readonly watchGate: WatchGate;
  readonly podStreams: PodStreams | undefined;
  readonly authenticator: Authenticator;
  /** Told of what the rights of a user do not allow, beside what the request is about. */
  readonly refused: (wanted: AccessAttributes) => void;
}

/** Real servers choose between half an hour and an hour. */
const defaultWatchTimeoutMs = 45 * 60_000;

interface Call {
  readonly context: HandlerContext;
  readonly request: ApiRequest;
  readonly path: ResourcePath;
  readonly kind: ApiKind;
  readonly version: ApiVersion;
}

/** Answers a request for a resource. */
export async function handleResource(
  context: HandlerContext,
  request: ApiRequest,
  path: ResourcePath,
): Promise<void> {
  const kind = context.registry.findKind(path.group, path.version, path.plural);
  if (kind === undefined) throw unknownPath();
  const call: Call = { context, request, path, kind, version: versionOf(kind, path.version) };
  if (kind.virtual) {
    await answerVirtual(call);
    return;
  }
  if (path.namespace !== undefined && !kind.namespaced) throw unknownPath();
  if (path.name !== undefined && kind.namespaced && path.namespace === undefined)
    throw unknownPath();
  if (path.name === undefined) {
    await handleCollection(call);
    return;
  }
  if (kind.group === "" && kind.plural === "pods" && path.subresource !== "") {
    const { namespace = "", name } = path;
    const podCall = { ...context, request, namespace, name };
    if (await handlePodSubresource(podCall, path.subresource)) return;
  }
  await handleObject(call, path.name);
}

/** Questions, which nothing is stored of. */
async function answerVirtual(call: Call): Promise<void> {
  const { context, request, path } = call;
  if (request.method !== "POST" || path.name !== undefined) throw methodNotAllowed();
  const world = { store: context.registry.store, authenticator: context.authenticator };
  const { apiVersion } = call.version;
  const review = { apiVersion, kind: call.kind.kind, ...(await readObject(call)) };
  sendJson(request.response, 201, answerReview(world, request.user, review));
}

async function handleCollection(call: Call): Promise<void> {
  switch (call.request.method) {
    case "GET":
    case "HEAD":
      if (isWatch(call.request.query)) await watchCollection(call);
      else listCollection(call);
      return;
    case "POST":
      await createObject(call);
      return;
    case "DELETE":
      await deleteCollection(call);
      return;
    default:
      throw methodNotAllowed();
  }
}

async function handleObject(call: Call, name: string): Promise<void> {
  const { request, path, kind, version } = call;
  const subresource = path.subresource as WriteSubresource;
  if (subresource === "status" && !version.status) throw notFound(kind, name);
  if (subresource === "scale" && version.scale) {
    await handleScale(call, name, version.scale);
    return;
  }
  if (path.subresource === "token" && kind.plural === "serviceaccounts") {
    await issueToken(call, name);
    return;
  }
  const isFinalize = subresource === "finalize" && kind.plural === "namespaces";
  if (subresource !== "" && subresource !== "status" && !isFinalize) throw unknownPath();
  switch (request.method) {
    case "GET":
    case "HEAD":
      sendObject(call, 200, requireObject(call, name));
      return;
    case "PUT":
      await replaceObject(call, name, subresource);
      return;
    case "PATCH":
      await patchObject(call, name, subresource);
      return;
    case "DELETE":
      if (subresource !== "") throw methodNotAllowed();
      await deleteObject(call, name);
      return;
    default:
      throw methodNotAllowed();
  }
}

async function issueToken(call: Call, name: string): Promise<void> {
  const { context, request } = call;
  if (request.method !== "POST") throw methodNotAllowed();
  const account = requireObject(call, name);
  const { registry, authenticator } = context;
  const world = { store: registry.store, authenticator };
  const answer = answerTokenRequest(world, account, await readObject(call), nowMs(registry.clock));
  sendJson(request.response, 201, answer);
}

async function handleScale(call: Call, name: string, paths: ScalePaths): Promise<void> {
  const { context, request, path, kind, version } = call;
  const { method, response } = request;
  if (method === "GET") {
    sendJson(response, 200, scaleOf(requireObject(call, name), paths));
    return;
  }
  if (method !== "PUT" && method !== "PATCH") throw methodNotAllowed();
  const given = await readObject(call);
  const type = mediaType(request);
  const change = (object: StoredObject): StoredObject => {
    const before = scaleOf(object, paths);
    const scale = method === "PUT" ? given : patcherFor(kind, type)(kind, before, given);
    return setScale(object, paths, scale);
  };
  const options = { ...writeOptions(request), version };
  const written = context.registry.update(kind, path.namespace ?? "", name, change, options);
  sendJson(response, 200, scaleOf(written, paths));
}

function requireObject({ context, path, kind }: Call, name: string): StoredObject {
  const object = context.registry.get(kind, path.namespace ?? "", name);
  if (object === undefined) throw notFound(kind, name);
  return object;
}

function sendObject(call: Call, status: number, object: StoredObject): void {
  sendText(call.request.response, status, rendering(call).one(object));
}

function rendering({ context, request, kind, version }: Call): Rendering {
  const { clock } = context.registry;
  const accept = request.headers.accept ?? "";
  return renderingFor({ kind, version, accept, query: request.query, nowMs: () => nowMs(clock) });
}

function isWatch(query: URLSearchParams): boolean {
  return query.get("watch") === "true" || query.get("watch") === "1";
}

function keyPrefix({ path, kind }: Call): string {
  return kind.namespaced && path.namespace !== undefined ? storeKey(path.namespace, "") : "";
}

interface Continuation {
  readonly version: number;
  readonly after: string;
}

function listCollection(call: Call): void {
  const { context, request, kind, version } = call;
  const { store } = context.registry;
  const { query } = request;
  const filter = objectFilter(kind, version.name, query);
  const limit = Number(query.get("limit") ?? 0) || Number.POSITIVE_INFINITY;
  const from = parseContinue(query.get("continue"), store.compactedVersion);
  if (from === undefined) checkListVersion(query, store.version);

  const found: StoredObject[] = [];
  let last = "";
  let more = 0;
  for (const [key, object] of store.entries(resourceOf(kind), keyPrefix(call))) {
    if (from !== undefined && key <= from.after) continue;
    if (filter !== undefined && !filter(object)) continue;
    if (found.length >= limit) {
      more++;
      if (filter !== undefined) break;
      continue;
    }
    found.push(object);
    last = key;
  }
  const listVersion = from?.version ?? store.version;
  const metadata: Record<string, Json> = { resourceVersion: String(listVersion) };
  if (more > 0) {
    const continuation: Continuation = { version: listVersion, after: last };
    metadata["continue"] = Buffer.from(JSON.stringify(continuation)).toString("base64url");
    if (filter === undefined) metadata["remainingItemCount"] = more;
  }
  sendText(request.response, 200, rendering(call).list(found, metadata));
}

function parseContinue(token: string | null, compacted: number): Continuation | undefined {
  if (!token) return undefined;
  let continuation: Continuation;
  try {
    continuation = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    throw badRequest("continue key is not valid");
  }
  if (continuation.version < compacted) {
    throw expired(
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
    );
  }
  return continuation;
}

function checkListVersion(query: URLSearchParams, current: number): void {
  const text = query.get("resourceVersion") ?? "";
  if (text === "" || text === "0") return;
  const version = parseVersion(text);
  if (version > current) {
    throw new ApiError(
      504,
      "Timeout",
      `Too large resource version: ${version}, current: ${current}`,
      {
        causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
        retryAfterSeconds: 1,
      },
    );
  }
}

function parseVersion(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw badRequest(`Invalid value: ${JSON.stringify(text)}: resourceVersion must be a number`);
}

async function watchCollection(call: Call): Promise<void> {
  const { context, request, kind, version } = call;
  const { registry } = context;
  const { query } = request;
  const versionText = query.get("resourceVersion") ?? "";
  const initial = query.get("sendInitialEvents") === "true";
  const fromStart = versionText === "" || versionText === "0" || initial;
  const seconds = Number(query.get("timeoutSeconds") ?? 0);
  const bookmarks = query.get("allowWatchBookmarks") === "true";
  const filter = objectFilter(kind, version.name, query);
  const since = fromStart ? undefined : parseVersion(versionText);
  await streamWatch({
    store: registry.store,
    clock: registry.clock,
    resource: resourceOf(kind),
    prefix: keyPrefix(call),
    filter,
    since,
    markInitialEnd: initial && bookmarks,
    bookmarks,
    timeoutMs: seconds > 0 ? seconds * 1000 : defaultWatchTimeoutMs,
    text: rendering(call).one,
    bookmark: (metadata) =>
      JSON.stringify({ kind: kind.kind, apiVersion: version.apiVersion, metadata }),
    response: request.response,
    signal: request.signal,
    gate: context.watchGate,
  });
}

async function readObject({ request }: Call): Promise<Json> {
  const body = await readBody(request);
  if (body.length === 0) throw badRequest("the body of the request is empty");
  const type = mediaType(request);
  return type === protobufType ? decodeProtobuf(body) : parseText(body.toString(), type);
}

async function createObject(call: Call): Promise<void> {
  const { context, request, path, kind, version } = call;
  const options = writeOptions(request);
  const object = await readObject(call);
  if (!isObject(object)) throw badRequest("the body is not an object");
  if (kind.namespaced) {
    if (path.namespace === undefined) throw methodNotAllowed();
    object["metadata"] ??= {};
    const { metadata } = object;
    metadata.namespace ??= path.namespace;
    if (metadata.namespace !== path.namespace) {
      throw badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
  }
  checkGrant(call, object as StoredObject);
  const created = context.registry.create(kind, object as StoredObject, { ...options, version });
  sendObject(call, 201, created);
}

/** @throws {ApiError} 403 for a role with more rights than the user's */
function checkGrant({ context, kind, path, request }: Call, object: StoredObject): StoredObject {
  const { refused, registry } = context;
  const { namespace } = path;
  forbidEscalation({ store: registry.store, user: request.user, kind, namespace, refused }, object);
  return object;
}

async function replaceObject(
  call: Call,
  name: string,
  subresource: WriteSubresource,
): Promise<void> {
  const { context, request, path, kind, version } = call;
  const options = writeOptions(request);
  const object = await readObject(call);
  const change = (): StoredObject => checkGrant(call, object);
  const written = context.registry.update(kind, path.namespace ?? "", name, change, {
    ...options,
    version,
    subresource,
    versionRequired: true,
  });
  sendObject(call, 200, written);
}

async function patchObject(call: Call, name: string, subresource: WriteSubresource): Promise<void> {
  const { context, request, path, kind, version } = call;
  const options = writeOptions(request);
  const type = mediaType(request);
  const body = await readBody(request);
  if (type === applyPatchType) {
    const applied = parseText(body.toString(), type);
    if (!isObject(applied)) throw badRequest("the body is not an object");
    if (!request.query.get("fieldManager")) {
      throw badRequest(
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
      );
    }
    checkGrant(call, applied as StoredObject);
    const force = request.query.get("force") === "true";
    const { object, created } = context.registry.apply(
      kind,
      path.namespace ?? "",
      name,
      applied as StoredObject,
      { ...options, version, subresource, force },
    );
    sendObject(call, created ? 201 : 200, object);
    return;
  }
  const patcher = patcherFor(kind, type);
  const patch = parseText(body.toString(), type);
  const written = context.registry.update(
    kind,
    path.namespace ?? "",
    name,
    (current) => checkGrant(call, patcher(kind, current, patch)),
    { ...options, version, subresource },
  );
  sendObject(call, 200, written);
}

async function deleteObject(call: Call, name: string): Promise<void> {
  const { context, request, path, kind } = call;
  const options = await deleteOptions(request);
  const { object, gone } = context.registry.delete(kind, path.namespace ?? "", name, options);
  if (!gone) {
    sendObject(call, 200, object);
    return;
  }
  sendJson(request.response, 200, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      name,
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.plural,
      uid: object.metadata.uid,
    },
  });
}

async function deleteCollection(call: Call): Promise<void> {
  const { context, request, kind, version } = call;
  const { registry } = context;
  const options = await deleteOptions(request);
  const filter = objectFilter(kind, version.name, request.query);
  const objects = registry.store
    .list(resourceOf(kind), keyPrefix(call))
    .filter((object) => filter === undefined || filter(object));
  const items: StoredObject[] = [];
  for (const { metadata } of objects) {
    // Another one may have gone with this one.
    if (registry.get(kind, metadata.namespace ?? "", metadata.name) === undefined) continue;
    items.push(registry.delete(kind, metadata.namespace ?? "", metadata.name, options).object);
  }
  sendJson(request.response, 200, {
    kind: kind.listKind,
    apiVersion: version.apiVersion,
    metadata: { resourceVersion: String(registry.store.version) },
    items: items.map((object) => ({ ...object, apiVersion: version.apiVersion })),
  });
}
