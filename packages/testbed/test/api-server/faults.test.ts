// Every fault switch is seen by a client over HTTP, and off means off; the request log counts what came.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
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
  await http("POST", maps, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } });
});

afterEach(() => server.close());

const change = (text: string): Promise<{ status: number; body: Json }> =>
  http(
    "PATCH",
    `${maps}/a`,
    { data: { text } },
    { "Content-Type": "application/merge-patch+json" },
  );

it("answers errors at a rate, with Retry-After, to the requests that are meant", async () => {
  server.faults.errors = [
    { status: 429, rate: 1, retryAfterSeconds: 7, matches: ({ verb }) => verb === "list" },
  ];
  const refused = await http("GET", maps);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("7");
  expect(refused.body.details.retryAfterSeconds).toBe(7);
  expect((await http("GET", `${maps}/a`)).status).toBe(200);
  server.faults.errors = [{ status: 503, rate: 0.5 }];
  const statuses = [];
  for (let round = 0; round < 40; round++) statuses.push((await http("GET", maps)).status);
  expect(new Set(statuses)).toEqual(new Set([200, 503]));
  server.faults.errors = [];
  expect((await http("GET", maps)).status).toBe(200);
});

it("answers conflicts to updates and patches, and nothing is written", async () => {
  server.faults.conflictRate = 1;
  const refused = await change("1");
  expect(refused).toMatchObject({ status: 409, body: { reason: "Conflict" } });
  expect(server.cluster.get("configmaps", "default", "a")?.["data"]).toBeUndefined();
  server.faults.conflictRate = 0;
  expect((await change("1")).status).toBe(200);
});

it("lets requests wait by its clock", async () => {
  server.faults.delayMs = 5000;
  const answer = http("GET", maps);
  while (clock.sleepers === 0) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(5000);
  expect((await answer).status).toBe(200);
});

it("is not there when it shall not be", async () => {
  server.setReachable(false);
  await expect(http("GET", maps)).rejects.toThrow();
  server.setReachable(true);
  expect((await http("GET", maps)).status).toBe(200);
});

describe("watches", () => {
  const follow = (): { lines: Json[]; ended: Promise<string> } => {
    const lines: Json[] = [];
    const ended = (async () => {
      for await (const line of http.watch(`${maps}?watch=true&resourceVersion=0`)) lines.push(line);
      return "ended";
    })().catch((error: Error) => error.message);
    return { lines, ended };
  };
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };

  it("are cut at once", async () => {
    const { lines, ended } = follow();
    await until(() => lines.length === 1);
    server.dropWatches();
    expect(await ended).toBe("ended");
  });

  it("are cut in the middle of a line", async () => {
    server.faults.dropMidLine = true;
    const { lines, ended } = follow();
    await until(() => lines.length === 1);
    server.dropWatches();
    expect(await ended).not.toBe("ended");
  });

  it("are cut every so often", async () => {
    server.faults.dropWatchesEveryMs = 2000;
    const { lines, ended } = follow();
    await until(() => lines.length === 1);
    await clock.advance(2000);
    expect(await ended).toBe("ended");
  });

  it("say nothing, and say things twice", async () => {
    const { lines, ended } = follow();
    await until(() => lines.length === 1);
    server.faults.silentWatches = true;
    await change("unheard");
    server.faults.silentWatches = false;
    server.faults.duplicateEvents = true;
    await change("heard");
    await until(() => lines.length === 3);
    expect(lines.slice(1).map(({ object }) => object.data.text)).toEqual(["heard", "heard"]);
    server.dropWatches();
    await ended;
  });
});

it("counts requests", async () => {
  await http("GET", maps, undefined, { "User-Agent": "someone/1.0" });
  await http("GET", `${maps}/none`, undefined, { "User-Agent": "someone/1.0" });
  await change("1");
  expect(server.requests.count({ userAgent: "someone" })).toBe(2);
  expect(server.requests.count({ verb: "patch", resource: "configmaps" })).toBe(1);
  expect(server.requests.count({ user: "kubernetes-admin" })).toBe(4);
  server.requests.reset();
  expect(server.requests.entries()).toEqual([]);
});
