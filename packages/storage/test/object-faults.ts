/**
 * What a network or a balancer does wrong, for any store over a fake service: a transparent repetition, or a clear error, and
 * nothing lost.
 * Proof: test/azure-faults.test.ts, test/gcs-faults.test.ts.
 * @module
 */
import type { LogFields, Logger } from "@dm/core";
import { expect, it } from "vitest";
import { refreshingToken, type TokenProvider } from "../src/http/bearer-token.ts";
import type { ObjectStoreOptions } from "../src/http/object-store.ts";
import type { BlobStore } from "../src/index.ts";
import type { Answer, Fault, Seen } from "./fake-service.ts";
import { bytes, failure, idsOf, type OnFake } from "./object-service.ts";

export interface FaultSubject {
  readonly on: OnFake;
  readonly openWithToken: (
    provider: TokenProvider,
    options?: Partial<ObjectStoreOptions>,
  ) => BlobStore;
  /** Whether a request reads the bytes of a blob. */
  readonly isGet: (seen: Seen) => boolean;
  readonly isList: (seen: Seen) => boolean;
  /** A page of a list in which an entry has another prefix. */
  readonly otherPage: string;
  /** A page that names itself as the next one. */
  readonly endlessPage: string;
  /** The service's refusal of bytes whose MD5 is another one. */
  readonly damaged: Answer;
  /** Its refusals with nothing in them that passes. */
  readonly refusals: readonly Answer[];
  /** More answers that are none of the service to a change. */
  readonly foreign: Readonly<Record<string, Answer>>;
  /** More faults that pass. */
  readonly passing: Readonly<Record<string, Fault>>;
}

export function testObjectFaults(subject: FaultSubject): void {
  const { isGet, isList, on } = subject;
  const open = (): BlobStore => on.open();
  const data = bytes(300_000);
  const html = "<!DOCTYPE html><html><body>Sign in</body></html>";

  it.each(
    Object.entries({
      "503 without a document": { answer: { status: 503 } },
      "500 with a web page": { answer: { status: 500, body: html } },
      "502 from a balancer": { answer: { status: 502, body: "Bad Gateway" } },
      "429": { answer: { status: 429 } },
      "a reset before the work": { reset: "before" },
      "a reset after it": { reset: "after" },
      ...subject.passing,
    } satisfies Record<string, Fault>),
  )("repeats every operation after %s", async (_name, fault) => {
    const store = open();
    const twice = (): (() => void) => on.fake.inject(fault, 2);
    twice();
    await store.put("p1", data);
    twice();
    expect(await store.get("p1")).toEqual(data);
    twice();
    expect((await store.stat("p1")).length).toBe(data.length);
    twice();
    expect(await idsOf(store)).toEqual(["p1"]);
    twice();
    await store.delete("p1");
    expect(on.fake.versions).toEqual([]);
  });

  it.each(
    Object.entries({
      "cut in the middle": [{ sendOnlyBytes: 100_000 }, [{}, { offset: 10, length: 200_000 }]],
      "announced longer": [{ announceBytes: 400_000 }, [{}]],
      "shortened without a trace": [{ shortenToBytes: 1000 }, [{ offset: 10, length: 200_000 }]],
      "shortened to nothing": [{ shortenToBytes: 0 }, [{ offset: 10, length: 200_000 }]],
    } satisfies Record<string, [Fault, Array<{ offset?: number; length?: number }>]>),
  )("reads again a body that is %s", async (_name, [fault, ranges]) => {
    const store = open();
    await store.put("p1", data);
    for (const range of ranges) {
      const before = on.fake.seen.length;
      on.fake.inject(fault, 2, isGet);
      const { offset, length } = { offset: 0, length: data.length, ...range };
      expect(await store.get("p1", range)).toEqual(data.slice(offset, offset + length));
      expect(on.fake.seen.length - before).toBe(3);
    }
  });

  it("asks again for a page of a list that is cut, empty or of another prefix", async () => {
    const store = open();
    for (const id of ["a", "b", "c"]) await store.put(id, data.subarray(0, 10));
    for (const fault of [
      { shortenToBytes: 60 },
      { sendOnlyBytes: 60 },
      { answer: { status: 200, body: "" } },
      { answer: { status: 200, body: subject.otherPage } },
    ] satisfies Fault[]) {
      const stop = on.fake.inject(fault, 1, isList);
      expect(await idsOf(store)).toEqual(["a", "b", "c"]);
      stop();
    }
  });

  it("says that a web page is no answer, once", async () => {
    const store = open();
    on.fake.inject({ answer: { status: 200, body: html } }, 1, isList);
    const listed = await failure(idsOf(store));
    expect(listed.code).toBe("DM_STORE_ANSWER_INVALID");
    expect(listed.message).toContain("a web page");
    on.fake.inject({ answer: { status: 404, body: html } }, 1, isGet);
    expect((await failure(store.get("p1"))).code).toBe("DM_STORE_ANSWER_INVALID");
  });

  it.each(
    Object.entries({
      "a web page": { status: 200, body: html },
      "a web page with the right status": { status: 201, headers: { etag: '"1"' }, body: html },
      "a web page to a deletion": { status: 202, headers: { etag: '"1"' }, body: html },
      "an empty answer": { status: 200 },
      "an empty answer with another status": { status: 201 },
      ...subject.foreign,
    } satisfies Record<string, Answer>),
  )("holds nothing for stored, locked or deleted after %s", async (_name, answer) => {
    const store = open();
    await store.put("p1", data);
    on.fake.inject({ answer });
    const retention = { mode: "COMPLIANCE", periodMs: 3_600_000 } as const;
    for (const change of [
      () => store.put("p2", data),
      () => store.put("p2", data, { ifAbsent: true }),
      () => store.extendRetention("p1", retention),
      () => store.delete("p1"),
    ]) {
      const before = on.fake.seen.length;
      expect((await failure(change())).code).toBe("DM_STORE_ANSWER_INVALID");
      expect(on.fake.seen.length - before).toBeLessThanOrEqual("body" in answer ? 1 : 4);
    }
  });

  it("refuses more bytes than it asked for", async () => {
    const store = open();
    await store.put("p1", data);
    const answer = { status: 206, body: bytes(200_000) };
    on.fake.inject({ answer }, 1, isGet);
    const error = await failure(store.get("p1", { offset: 0, length: 10 }));
    expect(error.code).toBe("DM_STORE_ANSWER_INVALID");
  });

  it("reads a range from a server that knows none", async () => {
    const store = open();
    await store.put("p1", data);
    on.fake.inject({ answer: { status: 200, body: data } }, 1, isGet);
    expect(await store.get("p1", { offset: 250_000 })).toEqual(data.slice(250_000));
  });

  it("gives up in the end, and says what was to be done", async () => {
    const store = open();
    on.fake.inject({ answer: { status: 503 } });
    const error = await failure(store.get("p1"));
    expect(error.code).toBe("DM_STORE_FAILED");
    expect(error.message).toContain("get of k/p1 in");
    expect(on.fake.seen.length).toBe(4);
  });

  it("stops between two attempts when it is aborted", async () => {
    const store = open();
    on.fake.inject({ reset: "before" });
    const stop = new AbortController();
    const reading = failure(store.get("p1", { signal: stop.signal }));
    stop.abort(new Error("enough"));
    expect((await reading).message).toBe("enough");
  });

  it("puts again what was damaged on its way", async () => {
    const store = open();
    on.fake.inject({ answer: subject.damaged }, 1);
    await store.put("p1", bytes(10));
    expect(await store.get("p1")).toEqual(bytes(10));
  });

  it("does not loop over a list without an end", async () => {
    on.fake.inject({ answer: { status: 200, body: subject.endlessPage } });
    expect((await failure(idsOf(open()))).code).toBe("DM_STORE_ANSWER_INVALID");
  });

  it("asks for another token in the middle, and repeats nothing else", async () => {
    const tokens = ["new", "old"];
    on.fake.accepted.add("old");
    const provider = refreshingToken(async () => ({ token: tokens.pop() ?? "none" }));
    const store = subject.openWithToken(provider);
    await store.put("p1", bytes(1000));
    on.fake.accepted.clear();
    on.fake.accepted.add("new");
    expect(await Promise.all([store.get("p1"), store.get("p1")])).toHaveLength(2);
    expect(tokens).toEqual([]);
    expect(on.fake.seen.at(-1)?.headers.authorization).toBe("Bearer new");
  });

  it("tells no token", async () => {
    const provider = refreshingToken(async () => ({ token: "SECRETTOKEN" }));
    const said = await allSaid(subject, (options) => subject.openWithToken(provider, options));
    expect(said).not.toContain("SECRETTOKEN");
  });
}

/** Everything that a store says, names and logs while it is refused. */
export async function allSaid(
  { on, refusals }: Pick<FaultSubject, "on" | "refusals">,
  open: (options: Partial<ObjectStoreOptions>) => BlobStore,
): Promise<string> {
  const said: string[] = [];
  const note = (message: string, fields?: LogFields): void => {
    said.push(message, JSON.stringify(fields));
  };
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  for (const answer of [{ status: 503 }, { status: 403, body: "<html>no</html>" }, ...refusals]) {
    const stop = on.fake.inject({ answer });
    const store = open({ logger });
    const error = await failure(store.get("p1"));
    said.push(store.displayName, error.message, JSON.stringify(error), String(error.stack));
    stop();
  }
  return said.join("\n");
}
