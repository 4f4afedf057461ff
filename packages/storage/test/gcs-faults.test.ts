// Whatever a network, a balancer or a bucket does wrong ends in a transparent repetition or in an error that says what to do;
// tokens that are used up are replaced in the middle, and no token is ever told.
import type { LogFields, Logger } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GcsStoreOptions, gcsStore, refreshingToken } from "../src/gcs.ts";
import type { BlobStore } from "../src/index.ts";
import { type FakeGcs, gcsError, startFakeGcs } from "./fake-gcs.ts";
import type { Fault } from "./fake-service.ts";
import { bytes, failure, testObjectFaults } from "./object-faults.ts";

let fake: FakeGcs;
const stores: BlobStore[] = [];
beforeEach(async () => {
  fake = await startFakeGcs();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await fake.close();
});

function open(options: Partial<GcsStoreOptions> = {}): BlobStore {
  const store = gcsStore({
    bucket: "blobs",
    endpoint: fake.url,
    prefix: "k/",
    retries: { attempts: 4, firstDelayMs: 1, maxDelayMs: 5 },
    ...options,
  });
  stores.push(store);
  return store;
}

describe("what passes", () => {
  testObjectFaults({
    fake: () => fake,
    open: () => open(),
    isGet: ({ url }) => url.searchParams.get("alt") === "media",
    isList: ({ url }) => url.pathname.endsWith("/o") && !url.pathname.startsWith("/upload"),
    otherPage: JSON.stringify({
      items: [{ name: "elsewhere", size: "1", timeCreated: "2026-11-25T10:00:00Z" }],
    }),
    foreign: { "a text": { status: 200, body: "Welcome" } },
    passing: {
      "a JSON error that passes": { answer: gcsError(503, "backendError", "Backend Error") },
      "too many requests": { answer: gcsError(403, "userRateLimitExceeded", "slow down") },
    },
  });

  it("puts again what was damaged on its way", async () => {
    const store = open();
    fake.inject({ answer: gcsError(400, "invalid", "Provided MD5 hash does not match") }, 1);
    await store.put("p1", bytes(10));
    expect(await store.get("p1")).toEqual(bytes(10));
  });

  it("holds nothing for stored or locked where another object is named", async () => {
    const store = open({ retries: { attempts: 1 } });
    for (const body of ['{"name":"k/p2"}', "{}", "null", '"k/p1"']) {
      fake.inject({ answer: { status: 200, body } }, 2);
      expect((await failure(store.put("p1", bytes(10)))).code).toBe("DM_STORE_ANSWER_INVALID");
      const extended = store.extendRetention("p1", { mode: "COMPLIANCE", periodMs: 3_600_000 });
      expect((await failure(extended)).code).toBe("DM_STORE_ANSWER_INVALID");
    }
  });

  it("does not loop over a list without an end", async () => {
    const store = open();
    fake.inject({ answer: { status: 200, body: '{"nextPageToken":"again"}' } });
    const listed = (async () => {
      for await (const _ of store.list("")) expect.unreachable();
    })();
    expect((await failure(listed)).code).toBe("DM_STORE_ANSWER_INVALID");
  });
});

describe("tokens", () => {
  it("asks for another one in the middle, and repeats nothing else", async () => {
    const tokens = ["new", "old"];
    fake.accepted.add("old");
    const credentials = refreshingToken(async () => ({ token: tokens.pop() ?? "none" }));
    const store = open({ credentials });
    await store.put("p1", bytes(1000));
    fake.accepted.clear();
    fake.accepted.add("new");
    expect(await Promise.all([store.get("p1"), store.get("p1")])).toHaveLength(2);
    expect(tokens).toEqual([]);
    expect(fake.seen.at(-1)?.headers.authorization).toBe("Bearer new");
  });

  it("says that it is not accepted when there is no other", async () => {
    fake.accepted.add("other");
    const credentials = refreshingToken(async () => ({ token: "used" }));
    const error = await failure(open({ credentials }).get("p1"));
    expect(error.code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(fake.seen.length).toBe(1);
  });
});

describe("what does not pass is said once, with its remedy", () => {
  const noBucket = "The specified bucket does not exist.";
  const answers: ReadonlyArray<readonly [string, Fault, string, RegExp]> = [
    [
      "an account that may not",
      { answer: gcsError(403, "forbidden", "a@b does not have storage.objects.get access") },
      "DM_STORE_ACCESS_DENIED",
      /storage\.objects\.get/,
    ],
    [
      "a missing bucket, in a line of text",
      { answer: { status: 404, body: noBucket } },
      "DM_STORE_NOT_FOUND",
      /create it/,
    ],
    [
      "a missing bucket, in JSON",
      { answer: gcsError(404, "notFound", noBucket) },
      "DM_STORE_NOT_FOUND",
      /create it/,
    ],
    [
      "a retention",
      { answer: gcsError(403, "retentionPolicyNotMet", "is under active retention") },
      "DM_STORE_ACCESS_DENIED",
      /until its time is over/,
    ],
    ["an API that is not there", { answer: { status: 501 } }, "DM_STORE_OPTION_UNSUPPORTED", /get/],
  ];
  it.each(answers)("%s", async (_name, fault, code, remedy) => {
    fake.inject(fault);
    const store = open({ retries: { attempts: 1 } });
    const error = await failure(store.get("p1"));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(remedy)]);
  });

  it("a missing bucket, by every operation", async () => {
    const store = open({ bucket: "nowhere" });
    for (const call of [store.put("p1", bytes(1)), store.stat("p1"), store.delete("p1")]) {
      expect((await failure(call)).code).toBe("DM_STORE_NOT_FOUND");
    }
  });

  it("tells no token", async () => {
    const said: string[] = [];
    const note = (message: string, fields?: LogFields): void => {
      said.push(message, JSON.stringify(fields));
    };
    const logger: Logger = { debug: note, info: note, warn: note, error: note };
    const credentials = refreshingToken(async () => ({ token: "SECRETTOKEN" }));
    for (const answer of [
      { status: 503 },
      { status: 403, body: "<html>no</html>" },
      gcsError(401, "authError", "Invalid Credentials"),
      gcsError(418, "odd", "Odd"),
    ]) {
      const stop = fake.inject({ answer });
      const store = open({ credentials, logger });
      const error = await failure(store.get("p1"));
      said.push(store.displayName, error.message, JSON.stringify(error), String(error.stack));
      stop();
    }
    expect(said.join("\n")).not.toContain("SECRETTOKEN");
  });
});
