// Random operations give the same answers as a plain Map: memory, the filesystem with random layouts, and a stack of
// wrappers whose calls fail and are repeated. fast-check prints the seed and the shortest failing sequence.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { equalBytes, isDmError } from "@dm/core";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import { type BlobStore, counting, memoryStore, prefixed, retrying } from "../src/index.ts";
import { faulty, seededFaults } from "../src/testing.ts";

const base = await mkdtemp(join(tmpdir(), "dm-storage-model-"));
afterAll(() => rm(base, { recursive: true, force: true }));

type Model = Map<string, Uint8Array>;

/** Ids that meet each other: short and long, prefixes of one another, around the cuts of directories. */
const id = fc.oneof(
  fc.constantFrom(
    "kopia.repository",
    "xe1",
    "p",
    "pa",
    "pabcdefghijklmnopqrst",
    "pabcdefghijklmnopqrstu",
  ),
  fc
    .tuple(fc.constantFrom("p", "q", "xn0_", "_log_"), fc.stringMatching(/^[ab]{0,3}$/), fc.nat(3))
    .map(([prefix, middle, length]) => prefix + middle + "0".repeat(length * 10)),
);
const data = fc.uint8Array({ maxLength: 40 });

const operation = fc.oneof(
  fc.record({ kind: fc.constant("put" as const), id, data, ifAbsent: fc.boolean() }),
  fc.record({ kind: fc.constant("delete" as const), id }),
  fc.record({
    kind: fc.constant("get" as const),
    id,
    offset: fc.option(fc.nat(50), { nil: undefined }),
    length: fc.option(fc.nat(50), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant("stat" as const), id }),
  fc.record({ kind: fc.constant("list" as const), prefix: fc.oneof(fc.constant(""), id) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

/** What the call came to, as text: bytes in hexadecimal, metadata, or the code of the error. */
async function answer(run: () => Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await run());
  } catch (error) {
    if (isDmError(error)) return error.code;
    throw error;
  }
}

function byStore(store: BlobStore, call: Operation): Promise<string> {
  return answer(async () => {
    switch (call.kind) {
      case "put":
        return store.put(call.id, call.data, { ifAbsent: call.ifAbsent });
      case "delete":
        return store.delete(call.id);
      case "get":
        return [...(await store.get(call.id, { offset: call.offset, length: call.length }))];
      case "stat": {
        const { id, length } = await store.stat(call.id);
        return [id, length];
      }
      case "list": {
        const found: Array<[string, number]> = [];
        for await (const { id, length } of store.list(call.prefix)) found.push([id, length]);
        return found.sort();
      }
    }
  });
}

function byModel(model: Model, call: Operation): string {
  if (call.kind === "list") {
    const found = [...model].filter(([id]) => id.startsWith(call.prefix));
    return JSON.stringify(found.map(([id, bytes]) => [id, bytes.length]).sort());
  }
  const bytes = model.get(call.id);
  switch (call.kind) {
    case "put":
      if (call.ifAbsent && bytes) return "DM_BLOB_EXISTS";
      model.set(call.id, call.data);
      return JSON.stringify(undefined);
    case "delete":
      model.delete(call.id);
      return JSON.stringify(undefined);
    case "stat":
      return bytes ? JSON.stringify([call.id, bytes.length]) : "DM_BLOB_NOT_FOUND";
    case "get": {
      if (!bytes) return "DM_BLOB_NOT_FOUND";
      const { length, offset = 0 } = call;
      if (length === 0) return "[]";
      const end = length === undefined ? bytes.length : offset + length;
      if (offset > bytes.length || end > bytes.length) return "DM_BLOB_RANGE_INVALID";
      return JSON.stringify([...bytes.subarray(offset, end)]);
    }
  }
}

async function agrees(store: BlobStore, calls: readonly Operation[]): Promise<void> {
  const model: Model = new Map();
  for (const call of calls) expect(await byStore(store, call)).toBe(byModel(model, call));
  for (const [id, bytes] of model) expect(equalBytes(await store.get(id), bytes)).toBe(true);
  expect(await byStore(store, { kind: "list", prefix: "" })).toBe(
    byModel(model, { kind: "list", prefix: "" }),
  );
}

const calls = fc.array(operation, { maxLength: 40 });
const full = process.env["DM_FULL"] === "1";
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const settings = (numRuns: number): fc.Parameters<unknown> => ({
  seed,
  numRuns: full ? numRuns * 20 : numRuns,
});

describe(`any sequence of operations (DM_SEED=${seed})`, () => {
  it("on memory", async () => {
    await fc.assert(
      fc.asyncProperty(calls, (list) => agrees(memoryStore(), list)),
      settings(300),
    );
  });

  it("on the filesystem, in any layout, also for a client that opens it later", async () => {
    const shards = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(calls, calls, shards, async (first, second, dirShards) => {
        const path = await mkdtemp(join(base, "store-"));
        await agrees(filesystemStore({ path, create: true, dirShards }), first);
        const later = filesystemStore({ path });
        const left: string[] = [];
        for await (const { id } of later.list("")) left.push(id);
        for (const id of left) await later.delete(id);
        await agrees(later, second);
      }),
      settings(25),
    );
  });

  it("on a store whose calls fail before they are done and are repeated", async () => {
    await fc.assert(
      fc.asyncProperty(calls, fc.integer(), async (list, chance) => {
        const rule = seededFaults({ seed: chance, probability: 0.3, faults: [{ fail: "before" }] });
        const broken = faulty(prefixed(memoryStore(), "part-"), { rule });
        const store = retrying(counting(broken), { attempts: 50, firstDelayMs: 0, maxDelayMs: 0 });
        await agrees(store, list);
      }),
      settings(30),
    );
  });

  it("without conditions also where answers get lost", async () => {
    const unconditional = calls.map((list) =>
      list.map((call) => (call.kind === "put" ? { ...call, ifAbsent: false } : call)),
    );
    await fc.assert(
      fc.asyncProperty(unconditional, fc.integer(), async (list, chance) => {
        const rule = seededFaults({ seed: chance, probability: 0.3, faults: [{ fail: "after" }] });
        const store = retrying(faulty(memoryStore(), { rule }), {
          attempts: 50,
          firstDelayMs: 0,
          maxDelayMs: 0,
        });
        await agrees(store, list);
      }),
      settings(30),
    );
  });
});
