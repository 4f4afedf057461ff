// Whatever a network, a balancer or a bucket does wrong ends in a transparent repetition or in an error that says what to do;
// tokens that are used up are replaced in the middle, and no token is ever told.
import { describe, expect, it } from "vitest";
import { refreshingToken } from "../src/gcs.ts";
import { gcsError, gcsOn, startFakeGcs } from "./fake-gcs.ts";
import type { Fault } from "./fake-service.ts";
import { testObjectFaults } from "./object-faults.ts";
import { bytes, failure, onFake } from "./object-service.ts";

const on = onFake(startFakeGcs, gcsOn);
const { open } = on;

describe("what passes, and what is no answer", () => {
  testObjectFaults({
    on,
    openWithToken: (credentials, options) => open({ ...options, credentials }),
    isGet: ({ url }) => url.searchParams.get("alt") === "media",
    isList: ({ url }) => url.pathname.endsWith("/o") && !url.pathname.startsWith("/upload"),
    otherPage: JSON.stringify({
      items: [{ name: "elsewhere", size: "1", timeCreated: "2026-11-25T10:00:00Z" }],
    }),
    endlessPage: '{"nextPageToken":"again"}',
    damaged: gcsError(400, "invalid", "Provided MD5 hash does not match"),
    refusals: [gcsError(401, "authError", "Invalid Credentials"), gcsError(418, "odd", "Odd")],
    foreign: { "a text": { status: 200, body: "Welcome" } },
    passing: {
      "a JSON error that passes": { answer: gcsError(503, "backendError", "Backend Error") },
      "too many requests": { answer: gcsError(403, "userRateLimitExceeded", "slow down") },
    },
  });

  it("holds nothing for stored or locked where another object is named", async () => {
    const store = open({ retries: { attempts: 1 } });
    for (const body of ['{"name":"k/p2"}', "{}", "null", '"k/p1"']) {
      on.fake.inject({ answer: { status: 200, body } }, 2);
      expect((await failure(store.put("p1", bytes(10)))).code).toBe("DM_STORE_ANSWER_INVALID");
      const extended = store.extendRetention("p1", { mode: "COMPLIANCE", periodMs: 3_600_000 });
      expect((await failure(extended)).code).toBe("DM_STORE_ANSWER_INVALID");
    }
  });

  it("says that it is not accepted when there is no other", async () => {
    on.fake.accepted.add("other");
    const credentials = refreshingToken(async () => ({ token: "used" }));
    const error = await failure(open({ credentials }).get("p1"));
    expect(error.code).toBe("DM_STORE_CREDENTIALS_INVALID");
    expect(on.fake.seen.length).toBe(1);
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
    on.fake.inject(fault);
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
});
