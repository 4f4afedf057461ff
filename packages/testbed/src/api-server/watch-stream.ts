/**
 * Watches over HTTP: one event a line, from a version on or from everything that is there, until the client goes, the time is up
 * or the server stops.
 * Proof: test/api-server/watch.test.ts.
 * @module
 */
import type { ServerResponse } from "node:http";
import type { Clock } from "@dm/core";
import type { Json, StoredObject } from "../kube-object.ts";
import type { ApiError } from "./api-error.ts";
import type { ObjectStore, StoreEvent } from "./object-store.ts";
import type { ObjectFilter } from "./selectors.ts";

export interface WatchRequest {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly resource: string;
  /** Start of the keys that are followed. */
  readonly prefix: string;
  readonly filter: ObjectFilter | undefined;
  /** Undefined: first an ADDED for everything that exists. */
  readonly since: number | undefined;
  /** After what exists, a bookmark that says so. */
  readonly markInitialEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
  /** JSON of an object as the client asked for it. */
  text(object: StoredObject): string;
  /** An object with nothing but its version. */
  bookmark(metadata: Json): string;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
  /** What may stand in the way of lines on their way out. */
  readonly gate: WatchGate;
}

/** Faults of a watch, see `faults.ts`. */
export interface WatchGate {
  /** Lines to send instead of this one. */
  through(line: string): readonly string[];
  /** Tells how to stop the watch from outside: at a line's end, or in the middle of one. */
  onStart(stop: (midLine: boolean) => void): () => void;
}

const bookmarkIntervalMs = 60_000;

/** A client that reads slower than the cluster changes is cut off at this backlog, and lists again. */
const maxBacklogBytes = 64 * 1024 * 1024;

/** Resolves at the end of the watch. */
export async function streamWatch(watch: WatchRequest): Promise<void> {
  const { store, response, clock, resource } = watch;
  const ended = new AbortController();
  const signal = AbortSignal.any([watch.signal, ended.signal]);
  const end = (): void => ended.abort();

  response.writeHead(200, {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache, private",
  });
  // Some clients wait for the headers before they go on.
  response.flushHeaders();

  const send = (type: string, text: string): void => {
    if (signal.aborted) return;
    const line = `{"type":"${type}","object":${text}}\n`;
    for (const one of watch.gate.through(line)) response.write(one);
    if (response.writableLength > maxBacklogBytes) end();
  };
  const follow = (event: StoreEvent): void => {
    const sent = visibleEvent(event, watch);
    if (sent !== undefined) send(sent.type, watch.text(sent.object));
  };

  let sinceEvents: readonly StoreEvent[] = [];
  if (watch.since !== undefined) {
    try {
      sinceEvents = store.since(resource, watch.since);
    } catch (error) {
      send("ERROR", JSON.stringify(error as ApiError));
      response.end();
      return;
    }
  }
  if (watch.since === undefined) {
    for (const object of store.list(resource, watch.prefix)) {
      if (watch.filter === undefined || watch.filter(object)) send("ADDED", watch.text(object));
    }
  }
  for (const event of sinceEvents) follow(event);
  if (watch.markInitialEnd) {
    send(
      "BOOKMARK",
      watch.bookmark({
        resourceVersion: String(store.version),
        annotations: { "k8s.io/initial-events-end": "true" },
      }),
    );
  }

  let cut = false;
  const stopListening = store.listen(resource, follow);
  const forget = watch.gate.onStart((midLine) => {
    cut = midLine;
    end();
  });
  try {
    await waitForEnd(watch, clock, signal, () =>
      send("BOOKMARK", watch.bookmark({ resourceVersion: String(store.version) })),
    );
  } finally {
    stopListening();
    forget();
    end();
    if (cut) {
      response.write('{"type":"MODIFIED","object":{"apiVersion"', () => response.destroy());
    } else response.end();
  }
}

async function waitForEnd(
  watch: WatchRequest,
  clock: Clock,
  signal: AbortSignal,
  bookmark: () => void,
): Promise<void> {
  let leftMs = watch.timeoutMs;
  while (leftMs > 0 && !signal.aborted) {
    const stepMs = watch.bookmarks ? Math.min(leftMs, bookmarkIntervalMs) : leftMs;
    try {
      await clock.sleep(stepMs, { signal });
    } catch {
      return;
    }
    leftMs -= stepMs;
    if (watch.bookmarks) bookmark();
  }
}

/** The event as a watch with a selector sees it: objects come and go as they begin and cease to match. */
function visibleEvent(
  event: StoreEvent,
  { prefix, filter }: WatchRequest,
): { readonly type: string; readonly object: StoredObject } | undefined {
  const { object, previous, type } = event;
  if (prefix !== "" && !`${object.metadata.namespace ?? ""}/`.startsWith(prefix)) return undefined;
  if (filter === undefined) return { type, object };
  const was = previous !== undefined && filter(previous);
  const is = type !== "DELETED" && filter(object);
  if (was && is) return { type: "MODIFIED", object };
  if (is) return { type: "ADDED", object };
  if (!was) return undefined;
  if (type === "DELETED") return { type, object };
  const { resourceVersion } = object.metadata;
  const last = previous as StoredObject;
  return { type: "DELETED", object: { ...last, metadata: { ...last.metadata, resourceVersion } } };
}
