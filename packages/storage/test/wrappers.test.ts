// What each small wrapper adds or refuses; that it keeps the contract otherwise is shown by contract.test.ts.
import { type LogFields, type Logger, manualClock } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  type BlobStore,
  counting,
  forward,
  isBlobId,
  isNearby,
  lockedPrefixes,
  logging,
  memoryStore,
  prefixed,
  type Retention,
  readOnly,
  retaining,
} from "../src/index.ts";

const data = new Uint8Array(100).fill(9);
const retention: Retention = { mode: "GOVERNANCE", periodMs: 1000 };

async function ids(store: BlobStore, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list(prefix)) found.push(id);
  return found.sort();
}

it("forward says of itself what the store says", () => {
  const { displayName, features, readOnly, type } = forward(memoryStore());
  expect({ displayName, features, readOnly, type }).toEqual({
    displayName: "Memory",
    features: { ifAbsent: true, retention: true, setTimestamp: true },
    readOnly: false,
    type: "memory",
  });
});

it("a store of this machine is nearby, also when it is wrapped, and no other is", () => {
  expect(isNearby(readOnly(counting(memoryStore())))).toBe(true);
  expect(isNearby({ type: "filesystem" })).toBe(true);
  expect(
    ["s3", "azureBlob", "gcs", "sftp", "webdav", "rclone"].some((type) => isNearby({ type })),
  ).toBe(false);
});

describe("readOnly", () => {
  it("reads, and refuses every change", async () => {
    const memory = memoryStore({ blobs: new Map([["there", data]]) });
    const store = readOnly(memory);
    expect(store.readOnly).toBe(true);
    expect(await store.get("there")).toEqual(data);
    expect((await store.stat("there")).length).toBe(100);
    expect(await ids(store)).toEqual(["there"]);
    for (const run of [
      () => store.put("new", data),
      () => store.put("there", new Uint8Array(1)),
      () => store.delete("there"),
      () => store.extendRetention("there", retention),
    ]) {
      await expect(run()).rejects.toMatchObject({
        name: "AccessError",
        code: "DM_STORE_READ_ONLY",
      });
    }
    expect([...memory.blobs]).toEqual([["there", data]]);
    expect(memory.lockedUntilNs.size).toBe(0);
  });
});

describe("prefixed", () => {
  it("sees its own part and nothing else", async () => {
    const memory = memoryStore({
      blobs: new Map([
        ["other", data],
        ["a-", data],
        ["b-x", data],
      ]),
    });
    const store = prefixed(memory, "a-");
    await store.put("x", data);
    await store.put("xy", data);
    expect([...memory.blobs.keys()].sort()).toEqual(["a-", "a-x", "a-xy", "b-x", "other"]);
    expect(await ids(store, "x")).toEqual(["x", "xy"]);
    expect(await ids(store, "other")).toEqual([]);
    await expect(store.get("other")).rejects.toMatchObject({ details: { blobId: "a-other" } });
    await store.extendRetention("x", retention);
    expect([...memory.lockedUntilNs.keys()]).toEqual(["a-x"]);
    await store.delete("x");
    expect(memory.blobs.has("a-x")).toBe(false);
    // The prefix alone is a blob of the whole store, not one without a name of this part.
    await expect(store.get("")).rejects.toThrow(RangeError);
    await expect(store.delete("")).rejects.toThrow(RangeError);
    expect(memory.blobs.has("a-")).toBe(true);
  });
});

describe("retaining", () => {
  const lockedIds = [
    ...["kopia.repository", "kopia.repository.backup.me", "kopia.blobcfg", "pabc", "qabc", "nabc"],
    ...["xn0_a", "xs0_a", "xr0_8_a", "xe1", "xw1795380862"],
  ];
  const freeIds = ["kopia.maintenance", "s0123", "_log_1", "mabc", "labc", "udmrepo.Repository"];

  it("locks the classes of blobs that Kopia locks, and no other", async () => {
    const memory = memoryStore();
    const store = retaining(memory, () => retention);
    for (const id of [...lockedIds, ...freeIds]) await store.put(id, data, { signal: undefined });
    expect([...memory.lockedUntilNs.keys()].sort()).toEqual([...lockedIds].sort());
    expect(lockedPrefixes).toHaveLength(6);
  });

  it("asks for the retention at each put, and lets a put have its own", async () => {
    const clock = manualClock(0n);
    const memory = memoryStore({ clock });
    let current: Retention | undefined;
    const store = retaining(memory, () => current);
    await store.put("p1", data);
    current = { mode: "COMPLIANCE", periodMs: 5 };
    await store.put("p2", data);
    await store.put("p3", data, { retention });
    await store.put("p4", data, { retention: undefined, ifAbsent: true });
    expect([...memory.lockedUntilNs]).toEqual([
      ["p2", 5_000_000n],
      ["p3", 1_000_000_000n],
      ["p4", 5_000_000n],
    ]);
    await expect(store.put("p4", data, { ifAbsent: true })).rejects.toThrow("exists");
  });
});

describe("counting", () => {
  it("counts requests when they are made and bytes when they have arrived", async () => {
    const store = counting(memoryStore());
    await store.put("there", data);
    await store.put("there", data);
    await store.get("there");
    await store.get("there", { offset: 10, length: 5 });
    await store.get("gone").catch(() => undefined);
    await store.put("", data).catch(() => undefined);
    await store.stat("there");
    await ids(store);
    await store.extendRetention("there", retention);
    await store.delete("there");
    expect(store.counts).toEqual({
      get: 3,
      put: 3,
      delete: 1,
      list: 1,
      stat: 1,
      extendRetention: 1,
      bytesRead: 105,
      bytesWritten: 200,
    });
  });
});

describe("logging", () => {
  it("tells each request at debug level, with its duration and without contents", async () => {
    const lines: Array<readonly [string, LogFields | undefined]> = [];
    const refuse = (): never => {
      throw new Error("above debug");
    };
    const logger: Logger = {
      debug: (message, fields) => lines.push([message, fields]),
      info: refuse,
      warn: refuse,
      error: refuse,
    };
    const clock = manualClock(0n);
    const slow: BlobStore = {
      ...forward(memoryStore()),
      async stat(id) {
        clock.advance(12.5);
        return { id, length: 1, timestampNs: 0n };
      },
      async *list() {
        clock.advance(3);
        yield { id: "a", length: 1, timestampNs: 0n };
        throw new Error("broken");
      },
    };
    const store = logging(slow, logger, clock);
    await store.put("there", data);
    await store.get("there", { offset: 1, length: 2 });
    await store.stat("there");
    await store.get("gone").catch(() => undefined);
    await ids(store, "p").catch(() => undefined);
    const durationMs = 0;
    expect(lines).toEqual([
      ["Called store", { operation: "put", blobId: "there", length: 100, durationMs }],
      ["Called store", { operation: "get", blobId: "there", offset: 1, length: 2, durationMs }],
      ["Called store", { operation: "stat", blobId: "there", durationMs: 12.5 }],
      [
        "Store call failed",
        { operation: "get", blobId: "gone", error: expect.stringContaining("gone"), durationMs },
      ],
      [
        "Store call failed",
        { operation: "list", prefix: "p", error: "Error: broken", durationMs: 3 },
      ],
    ]);
  });
});

describe("blob ids", () => {
  it.each(["a", "A", "0", "_log_", "udmrepo.Repository", "a".repeat(255)])("%s is one", (id) => {
    expect(isBlobId(id)).toBe(true);
  });
  it.each(["", ".", "-a", "a/", "a\n", "é", "a".repeat(256)])("%j is none", (id) => {
    expect(isBlobId(id)).toBe(false);
  });
});
