/**
 * What can be asked of a pod beside the object: its log, a place on a node, eviction. Exec is in `exec.ts`.
 * Proof: test/api-server/pod-streams.test.ts.
 * @module
 */
import { once } from "node:events";
import type { Json, StoredObject } from "../kube-object.ts";
import { ApiError, badRequest, conflict, methodNotAllowed, notFound } from "./api-error.ts";
import { type ApiRequest, parseText, readBody, sendJson } from "./api-request.ts";
import type { LogOptions, PodStreams, PodTarget } from "./pod-streams.ts";
import type { Registry } from "./registry.ts";

export interface PodCall {
  readonly registry: Registry;
  readonly podStreams: PodStreams | undefined;
  readonly request: ApiRequest;
  readonly namespace: string;
  readonly name: string;
}

/** Whether the subresource is one of a pod's own, and is answered. */
export async function handlePodSubresource(call: PodCall, subresource: string): Promise<boolean> {
  const { method } = call.request;
  switch (subresource) {
    case "log":
      if (method !== "GET") throw methodNotAllowed();
      await sendLog(call);
      return true;
    case "binding":
      if (method !== "POST") throw methodNotAllowed();
      await bind(call);
      return true;
    case "eviction":
      if (method !== "POST") throw methodNotAllowed();
      await evict(call);
      return true;
    default:
      return false;
  }
}

function requirePod({ registry, namespace, name }: PodCall): StoredObject {
  const kind = registry.kind("pods");
  const pod = registry.get(kind, namespace, name);
  if (pod === undefined) throw notFound(kind, name);
  return pod;
}

/**
 * The container that a request means.
 * @throws {ApiError} 400 when it names none of several, or an unknown one
 */
export function podTarget(pod: StoredObject, container: string | null): PodTarget {
  const { name, namespace = "", uid } = pod.metadata;
  const regular = ((pod.spec.containers ?? []) as Json[]).map((one) => String(one.name));
  const early = ((pod.spec.initContainers ?? []) as Json[]).map((one) => String(one.name));
  if (container && !regular.includes(container) && !early.includes(container)) {
    throw badRequest(`container ${container} is not valid for pod ${name}`);
  }
  if (!container && regular.length !== 1) {
    const choices = early.length > 0 ? ` or one of the init containers: [${early.join(" ")}]` : "";
    throw badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${regular.join(" ")}]${choices}`,
    );
  }
  const { nodeName } = pod.spec;
  if (!nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  return { name, namespace, uid, nodeName, container: container || (regular[0] as string) };
}

/** @throws {ApiError} 503 */
export function requireStreams(streams: PodStreams | undefined): PodStreams {
  if (streams !== undefined) return streams;
  throw new ApiError(503, "ServiceUnavailable", "no kubelet is connected to this server");
}

async function sendLog(call: PodCall): Promise<void> {
  const { request } = call;
  const { query, response, signal } = request;
  const streams = requireStreams(call.podStreams);
  const target = podTarget(requirePod(call), query.get("container"));
  const number = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    if (!/^\d+$/.test(text)) throw badRequest(`${name} must be a number`);
    return Number(text);
  };
  const options: LogOptions = {
    follow: query.get("follow") === "true",
    previous: query.get("previous") === "true",
    timestamps: query.get("timestamps") === "true",
    tailLines: number("tailLines"),
    limitBytes: number("limitBytes"),
    sinceSeconds: number("sinceSeconds"),
    sinceTime: query.get("sinceTime") ?? undefined,
    signal,
  };
  const chunks = streams.log(target, options)[Symbol.asyncIterator]();
  try {
    const first = chunks.next();
    // A refusal comes at once, and must not meet headers that have gone; a first line may take its time.
    await Promise.race([first, new Promise((resolve) => setImmediate(resolve))]);
    response.writeHead(200, { "Content-Type": "text/plain" });
    response.flushHeaders();
    for (let step = await first; !step.done && !signal.aborted; step = await chunks.next()) {
      if (!response.write(step.value)) await once(response, "drain", { signal }).catch(() => {});
    }
    response.end();
  } finally {
    await chunks.return?.();
  }
}

async function bind(call: PodCall): Promise<void> {
  const { registry, namespace, name, request } = call;
  const binding = parseText((await readBody(request)).toString(), "application/json");
  const nodeName = binding?.target?.name;
  if (!nodeName) throw badRequest("a binding needs target.name");
  registry.update(registry.kind("pods"), namespace, name, (pod) => {
    if (pod.spec.nodeName) {
      const text = `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`;
      throw conflict(registry.kind("pods"), name, text);
    }
    pod.spec.nodeName = nodeName;
    return pod;
  });
  sendSuccess(call, 201);
}

async function evict(call: PodCall): Promise<void> {
  const { registry, namespace, name, request } = call;
  const body = await readBody(request);
  const eviction: Json = body.length === 0 ? {} : parseText(body.toString(), "application/json");
  const { gracePeriodSeconds, preconditions, propagationPolicy } = eviction.deleteOptions ?? {};
  registry.delete(registry.kind("pods"), namespace, name, {
    gracePeriodSeconds,
    uid: preconditions?.uid,
    propagationPolicy,
  });
  sendSuccess(call, 201);
}

function sendSuccess({ request }: PodCall, code: number): void {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code };
  sendJson(request.response, code, status);
}
