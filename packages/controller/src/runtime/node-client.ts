/**
 * {@link KubeClient} over HTTP(S) for Node: the configuration and credentials are those of `@kubernetes/client-node`, the
 * requests are made here, over connections that are kept.
 *
 * A token that the server refuses is read again once (files and exec plugins rotate them). "Too many requests" is obeyed:
 * the request waits as told and is sent again. Everything else is an error for the caller to back off from.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { type Clock, isDmError, nsPerMs, Semaphore, systemClock } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import {
  asOurs,
  parseJson,
  parseStatus,
  readBody,
  retryAfterOf,
  withTimeLimit,
} from "./http-answer.ts";
import type {
  KubeCallOptions,
  KubeClient,
  ListOptions,
  ObjectKey,
  WatchEvent,
  WatchOptions,
} from "./kube-client.ts";
import {
  createKubeConnection,
  type KubeConnection,
  type KubeConnectionDescription,
  type KubeConnectionOptions,
} from "./kube-connection.ts";
import { kubeError, unavailable } from "./kube-errors.ts";
import {
  addSelectors,
  type Call,
  callOf,
  eventOf,
  isMissing,
  keyOfObject,
  named,
} from "./kube-request.ts";
import { type PodExec, podExec } from "./pod-exec.ts";
import { createLineSplitter } from "./watch-lines.ts";

export interface NodeKubeClientOptions extends KubeConnectionOptions {
  /** Instead of what `@kubernetes/client-node` finds, which is not loaded then. */
  readonly connection?: KubeConnection | undefined;
  /** Sent as User-Agent; the server names field managers by it up to the first slash. */
  readonly userAgent?: string | undefined;
  /** A call that has not been answered completely by then has failed. */
  readonly requestTimeoutMs?: number | undefined;
  /** Calls under way at once, watches not counted; more wait. */
  readonly maxRequestsInFlight?: number | undefined;
  /** A watch without a single byte for this long is given up: servers send bookmarks about once a minute. */
  readonly watchIdleMs?: number | undefined;
  /** How often a request is sent again that the server put off (429, or 503 with Retry-After). */
  readonly putOffRetries?: number | undefined;
  readonly clock?: Clock | undefined;
}

export const nodeKubeClientDefaults = {
  userAgent: "dm-controller",
  requestTimeoutMs: 30_000,
  maxRequestsInFlight: 50,
  watchIdleMs: 150_000,
  putOffRetries: 4,
} as const;

export interface PodLogOptions extends KubeCallOptions {
  readonly container?: string | undefined;
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
  /** Of the container's run before this one. */
  readonly previous?: boolean | undefined;
}

export interface NodeKubeClient extends KubeClient {
  /** Server, context and namespace of the configuration in use. */
  describe(): Promise<KubeConnectionDescription>;
  /** What the pod has printed; undefined when there is no such pod, or it has not started. */
  podLog(key: ObjectKey, options?: PodLogOptions): Promise<string | undefined>;
  readonly exec: PodExec;
  /** Any other GET, such as `/version`: the parsed body. `accept` asks for another form of it, such as a Table. */
  getPath(
    path: string,
    options?: KubeCallOptions & { readonly accept?: string | undefined },
  ): Promise<unknown>;
  /** Ends idle connections, so that the process can end. */
  close(): void;
}

/** More than any page of a list; a larger answer is not read. */
const maxBodyBytes = 256 << 20;
const maxStatusBytes = 1 << 20;
/** The longest that a server may put off one request. */
const maxPutOffMs = 60_000;
/** After `timeoutSeconds` the server has this long to end the watch. */
const watchGraceMs = 30_000;

/**
 * Makes a client; nothing is read or connected before the first call.
 * @throws {AccessError} (from its calls) `DM_KUBE_CONFIG` when there is no usable configuration
 * @example
 * const client = nodeKubeClient({ kubeconfig: "kubeconfig.yaml" });
 * const page = await client.list(dataUploads, { namespace: "velero" });
 */
export function nodeKubeClient(options: NodeKubeClientOptions = {}): NodeKubeClient {
  const {
    userAgent = nodeKubeClientDefaults.userAgent,
    requestTimeoutMs = nodeKubeClientDefaults.requestTimeoutMs,
    maxRequestsInFlight = nodeKubeClientDefaults.maxRequestsInFlight,
    watchIdleMs = nodeKubeClientDefaults.watchIdleMs,
    putOffRetries = nodeKubeClientDefaults.putOffRetries,
    clock = systemClock,
  } = options;
  const connection = options.connection ?? createKubeConnection(options);
  const places = new Semaphore(maxRequestsInFlight);

  /** Sends once and resolves with the answer's headers. */
  const open = async (call: Call, signal: AbortSignal): Promise<Opened> => {
    const { base, agent, headers, generation } = await connection.prepare();
    signal.throwIfAborted();
    const url = new URL(base.pathname.replace(/\/+$/, "") + call.path, base);
    if (call.query) url.search = call.query.toString();
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    return new Promise((resolve, reject) => {
      const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(
        url,
        {
          method: call.method,
          agent,
          signal,
          headers: {
            accept: call.accept ?? "application/json",
            "user-agent": userAgent,
            ...(body === undefined
              ? {}
              : {
                  "content-type": call.contentType ?? "application/json",
                  "content-length": String(body.length),
                }),
            ...headers,
          },
        },
        (response) => resolve({ response, generation }),
      );
      request.on("error", reject);
      request.end(body);
    });
  };

  /**
   * Sends until there is an answer that is neither a refused token nor a put-off, and reads it with `read`. Each attempt has
   * `requestTimeoutMs`; what the server asked to wait does not count.
   */
  const patiently = async <Result>(
    call: Call,
    signal: AbortSignal | undefined,
    read: (response: IncomingMessage) => Promise<Result>,
  ): Promise<Result> => {
    let refused = false;
    let putOff = 0;
    for (;;) {
      const answer = await withTimeLimit(
        call.what,
        requestTimeoutMs,
        clock,
        signal,
        async (limited) => {
          const { response, generation } = await open(call, limited);
          const httpStatus = response.statusCode ?? 0;
          if (httpStatus < 300) return { result: await read(response) };
          const text = await readBody(response, maxStatusBytes);
          return { httpStatus, text, generation, retryAfterMs: retryAfterOf(response) };
        },
      );
      if ("result" in answer) return answer.result;
      const { httpStatus, text, generation, retryAfterMs } = answer;
      if (httpStatus === 401 && !refused) {
        refused = true;
        connection.reload(generation);
        continue;
      }
      const waitMs = httpStatus === 429 ? (retryAfterMs ?? 1_000) : retryAfterMs;
      if (
        (httpStatus === 429 || httpStatus === 503) &&
        waitMs !== undefined &&
        putOff < putOffRetries
      ) {
        putOff += 1;
        await clock.sleep(Math.min(waitMs, maxPutOffMs), { signal });
        continue;
      }
      const status = parseStatus(text);
      throw kubeError({ what: call.what, status, httpStatus, retryAfterMs, secret: call.secret });
    }
  };

  const send = async (call: Call, { signal }: KubeCallOptions = {}): Promise<string> => {
    const release = await places.acquire({ signal });
    try {
      return await patiently(call, signal, (response) => readBody(response, maxBodyBytes));
    } finally {
      release();
    }
  };

  const sendFor = async <T extends KubeObject>(
    call: Call,
    resource: Resource<T>,
    callOptions: KubeCallOptions | undefined,
  ): Promise<T> => named(resource, parseJson(call.what, await send(call, callOptions)) as T);

  return {
    async get(resource, key, callOptions) {
      const call = callOf("GET", resource, key);
      try {
        return await sendFor(call, resource, callOptions);
      } catch (error) {
        if (isMissing(error, key.name)) return undefined;
        throw error;
      }
    },

    async list<T extends KubeObject>(resource: Resource<T>, listOptions: ListOptions = {}) {
      const call = callOf("GET", resource, { namespace: listOptions.namespace }, "list");
      call.query = new URLSearchParams();
      addSelectors(call.query, listOptions);
      if (listOptions.limit !== undefined) call.query.set("limit", String(listOptions.limit));
      if (listOptions.continue !== undefined) call.query.set("continue", listOptions.continue);
      const body = parseJson(call.what, await send(call, listOptions)) as {
        readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
        readonly items?: T[] | null;
      };
      const next = body.metadata?.continue;
      return {
        items: (body.items ?? []).map((item) => named(resource, item)),
        resourceVersion: body.metadata?.resourceVersion ?? "",
        ...(next === undefined || next === "" ? {} : { continue: next }),
      };
    },

    async create(resource, object, callOptions) {
      const { namespace, name } = object.metadata;
      const call = callOf("POST", resource, { namespace });
      if (name !== undefined) call.what += `/${name}`;
      call.body = named(resource, object);
      return sendFor(call, resource, callOptions);
    },

    async replace(resource, object, writeOptions = {}) {
      const call = callOf("PUT", resource, keyOfObject(object));
      if (writeOptions.subresource) call.path += `/${writeOptions.subresource}`;
      call.body = named(resource, object);
      return sendFor(call, resource, writeOptions);
    },

    async patch(resource, key, patch, writeOptions = {}) {
      const call = callOf("PATCH", resource, key);
      if (writeOptions.subresource) call.path += `/${writeOptions.subresource}`;
      call.body = patch;
      call.contentType = "application/merge-patch+json";
      return sendFor(call, resource, writeOptions);
    },

    async delete(resource, key, deleteOptions = {}) {
      const { uid, resourceVersion, gracePeriodSeconds, propagationPolicy } = deleteOptions;
      const call = callOf("DELETE", resource, key);
      call.body = {
        apiVersion: "v1",
        kind: "DeleteOptions",
        gracePeriodSeconds,
        propagationPolicy,
        ...(uid === undefined && resourceVersion === undefined
          ? {}
          : { preconditions: { uid, resourceVersion } }),
      };
      try {
        await send(call, deleteOptions);
        return true;
      } catch (error) {
        if (isMissing(error, key.name)) return false;
        throw error;
      }
    },

    async *watch<T extends KubeObject>(
      resource: Resource<T>,
      watchOptions: WatchOptions,
    ): AsyncGenerator<WatchEvent<T>> {
      const { signal, resourceVersion, timeoutSeconds = 300 } = watchOptions;
      const call = callOf("GET", resource, { namespace: watchOptions.namespace }, "watch");
      call.query = new URLSearchParams({
        watch: "true",
        allowWatchBookmarks: "true",
        resourceVersion,
        timeoutSeconds: String(timeoutSeconds),
      });
      addSelectors(call.query, watchOptions);
      const response = await patiently(call, signal, async (opened) => opened);
      const endAtMs = nowMs(clock) + timeoutSeconds * 1_000 + watchGraceMs;
      const lines = createLineSplitter();
      const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      const stop = new AbortController();
      const onAbort = (): void => {
        response.destroy();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      let heardAtMs = nowMs(clock);
      let waiting = false;
      let silent = false;
      const guard = guardSilence();
      /** Only time in which we listened counts as silence. */
      async function guardSilence(): Promise<void> {
        for (;;) {
          const now = nowMs(clock);
          const limitMs = Math.min(heardAtMs + watchIdleMs, endAtMs);
          if (now >= limitMs && waiting) break;
          await clock.sleep(now < limitMs ? limitMs - now : watchIdleMs, { signal: stop.signal });
        }
        silent = true;
        response.destroy();
      }
      guard.catch(() => undefined);
      try {
        for (;;) {
          waiting = true;
          const step = await chunks.next();
          waiting = false;
          heardAtMs = nowMs(clock);
          if (step.done) break;
          for (const line of lines.push(step.value)) {
            yield eventOf(resource, call, parseJson(call.what, line));
          }
        }
      } catch (error) {
        signal?.throwIfAborted();
        throw silent ? unavailable(`${call.what}: silent for too long`) : asOurs(call.what, error);
      } finally {
        stop.abort();
        signal?.removeEventListener("abort", onAbort);
        response.destroy();
      }
      signal?.throwIfAborted();
      if (silent) throw unavailable(`${call.what}: silent for too long`);
    },

    describe: () => connection.describe(),

    async podLog(key, logOptions = {}) {
      const { container, tailLines, limitBytes, previous } = logOptions;
      const call = callOf("GET", podPath, key, "read the log of");
      call.path += "/log";
      call.query = new URLSearchParams();
      if (container !== undefined) call.query.set("container", container);
      if (tailLines !== undefined) call.query.set("tailLines", String(tailLines));
      if (limitBytes !== undefined) call.query.set("limitBytes", String(limitBytes));
      if (previous) call.query.set("previous", "true");
      try {
        return await send(call, logOptions);
      } catch (error) {
        // 400: the container waits to start.
        const notYet = isDmError(error, "DM_KUBE_INVALID") && error.details["httpStatus"] === 400;
        if (notYet || isMissing(error, key.name)) return undefined;
        throw error;
      }
    },

    exec: podExec(connection, { clock, userAgent }),

    async getPath(path, { accept, ...callOptions } = {}) {
      const what = `get ${path}`;
      const call = { what, method: "GET", path, secret: false, accept };
      return parseJson(what, await send(call, callOptions));
    },

    close: () => connection.close(),
  };
}

interface Opened {
  readonly response: IncomingMessage;
  readonly generation: number;
}

const podPath: Resource = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  namespaced: true,
};

const nowMs = (clock: Clock): number => Number(clock.nowNs() / nsPerMs);
