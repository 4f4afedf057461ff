// Watches over HTTP: from where they begin, what selectors make of changes, bookmarks, time-outs and versions that are gone.
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import { type HttpClient, httpClient } from "./http-client.ts";

const clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
let server: ApiServer;
let http: HttpClient;
const maps = "/api/v1/namespaces/default/configmaps";

beforeEach(async () => {
  server = await createApiServer({ tls: false, clock });
  http = httpClient(server);
});

afterEach(() => server.close());

const create = (name: string, labels: Record<string, string> = {}): number => {
  const metadata = { name, namespace: "default", labels };
  const { metadata: made } = server.cluster.create("configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata,
  });
  return Number(made.resourceVersion);
};

const label = (name: string, labels: Record<string, string>): void => {
  server.cluster.modify("configmaps", "default", name, ({ metadata }) => {
    metadata.labels = labels;
  });
};

/** Reads until so many lines have come. */
async function lines(query: string, count: number, then: () => void = () => {}): Promise<Json[]> {
  const stop = new AbortController();
  const found: Json[] = [];
  const watch = http.watch(`${maps}?watch=true&${query}`, stop.signal);
  const before = server.requests.count({ verb: "watch" });
  const first = watch.next();
  while (server.requests.count({ verb: "watch" }) === before) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  then();
  for (let step = await first; !step.done; step = await watch.next()) {
    found.push(step.value);
    if (found.length === count) stop.abort();
    if (found.length === count) break;
  }
  return found;
}

const names = (found: Json[]): string[] =>
  found.map(({ type, object }) => `${type} ${object.metadata.name}`);

it("begins with everything that exists, or after a version", async () => {
  const version = create("a");
  create("b");
  expect(names(await lines("resourceVersion=0", 2))).toEqual(["ADDED a", "ADDED b"]);
  expect(names(await lines("", 3, () => create("c")))).toEqual(["ADDED a", "ADDED b", "ADDED c"]);
  expect(names(await lines(`resourceVersion=${version}`, 2))).toEqual(["ADDED b", "ADDED c"]);
});

it("tells of a deletion with the version of the deletion", async () => {
  const version = create("a");
  const [line] = await lines(`resourceVersion=${version}`, 1, () =>
    server.cluster.delete("configmaps", "default", "a"),
  );
  expect(line.type).toBe("DELETED");
  expect(Number(line.object.metadata.resourceVersion)).toBeGreaterThan(version);
});

it("shows objects come and go as they begin and cease to match", async () => {
  create("a", { team: "red" });
  create("b", { team: "blue" });
  const found = await lines("labelSelector=team%3Dred", 4, () => {
    label("b", { team: "red" });
    label("a", { team: "blue" });
    label("b", { team: "red", more: "x" });
  });
  expect(names(found)).toEqual(["ADDED a", "ADDED b", "DELETED a", "MODIFIED b"]);
  // What went is shown as it last matched.
  expect(found[2].object.metadata.labels).toEqual({ team: "red" });
});

it("follows one object by its name", async () => {
  create("a");
  create("b");
  const found = await lines("fieldSelector=metadata.name%3Db", 2, () => {
    label("a", { x: "1" });
    label("b", { x: "1" });
  });
  expect(names(found)).toEqual(["ADDED b", "MODIFIED b"]);
});

it("says when the initial objects are over", async () => {
  create("a");
  const query =
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=1";
  const [added, bookmark] = await lines(query, 2);
  expect(added.type).toBe("ADDED");
  expect(bookmark).toMatchObject({
    type: "BOOKMARK",
    object: {
      kind: "ConfigMap",
      apiVersion: "v1",
      metadata: { annotations: { "k8s.io/initial-events-end": "true" } },
    },
  });
});

it("sends bookmarks each minute to those who want them, and ends quietly when time is up", async () => {
  const version = create("a");
  const run = async (extra: string): Promise<Json[]> => {
    const found: Json[] = [];
    const path = `${maps}?watch=true&resourceVersion=${version}&timeoutSeconds=150${extra}`;
    const reading = (async () => {
      for await (const line of http.watch(path)) found.push(line);
    })();
    while (clock.sleepers === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await clock.advance(150_000);
    await reading;
    return found;
  };
  const bookmarks = await run("&allowWatchBookmarks=true");
  expect(bookmarks.map(({ type }) => type)).toEqual(["BOOKMARK", "BOOKMARK", "BOOKMARK"]);
  expect(await run("")).toEqual([]);
});

it("says 410 in an event for a version that is gone, and ends", async () => {
  const version = create("a");
  create("b");
  server.compact();
  const found: Json[] = [];
  for await (const line of http.watch(`${maps}?watch=true&resourceVersion=${version}`)) {
    found.push(line);
  }
  expect(found).toMatchObject([
    {
      type: "ERROR",
      object: { kind: "Status", status: "Failure", reason: "Expired", code: 410 },
    },
  ]);
  expect(found[0].object.message).toBe(`too old resource version: ${version} (${version + 1})`);
});

it("sends rows to those who want tables", async () => {
  create("a");
  const response = await fetch(`${server.url}${maps}?watch=true&timeoutSeconds=1`, {
    headers: {
      Authorization: `Bearer ${server.adminToken}`,
      Accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
    },
  });
  const reading = response.text();
  await clock.advance(1000);
  const line = JSON.parse(await reading);
  expect(line).toMatchObject({
    type: "ADDED",
    object: { kind: "Table", apiVersion: "meta.k8s.io/v1", rows: [{ cells: ["a", 0, "0s"] }] },
  });
});
