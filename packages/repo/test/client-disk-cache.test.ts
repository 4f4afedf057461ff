// The disk cache finds what was put, also in a later process; its files never exceed the cap; the oldest go first; what
// was damaged, cut short or put under another name is not found; and a directory that fails is an empty cache.
import {
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, type ManualClock, manualClock, silentLogger } from "@dm/core";
import { seededRandom } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ContentCache } from "../src/cache/content-cache.ts";
import { diskCache } from "../src/client/disk-cache.ts";

const key = new Uint8Array(16).fill(7);
let directory: string;
let clock: ManualClock;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "dm-cache-"));
  clock = manualClock(BigInt(Date.now()) * 1_000_000n);
});
afterEach(() => rm(directory, { recursive: true }));

const openCache = (
  maxBytes = 1 << 20,
  more: { logger?: Logger; key?: Uint8Array } = {},
): ContentCache => diskCache({ directory, maxBytes, key, clock, ...more });

async function entryFiles(): Promise<string[]> {
  const names = await readdir(directory, { recursive: true });
  return names.filter((name) => /[/\\]/.test(name)).map((name) => join(directory, name));
}

async function bytesOnDisk(): Promise<number> {
  let sum = 0;
  for (const path of await entryFiles()) sum += (await stat(path)).size;
  return sum;
}

it("finds what was put, also when it is opened again", async () => {
  const cache = openCache();
  const data = seededRandom(1).bytes(5000);
  expect(await cache.get("p1-content")).toBeUndefined();
  await cache.put("p1-content", data);
  await cache.put("empty", new Uint8Array(0));
  expect(await cache.get("p1-content")).toEqual(data);
  await cache.close();
  expect(await cache.get("p1-content")).toBeUndefined();
  await cache.put("later", data);

  const again = openCache();
  expect(await again.get("p1-content")).toEqual(data);
  expect(await again.get("empty")).toEqual(new Uint8Array(0));
  expect(await again.get("later")).toBeUndefined();
  await again.put("third", new Uint8Array(1));
  expect(again.usedBytes).toBe(5000 + 1 + 3 * 32);
  expect(await bytesOnDisk()).toBe(again.usedBytes);
});

it("marks its directory as a cache", async () => {
  await openCache().put("a", new Uint8Array(1));
  expect(await readFile(join(directory, "CACHEDIR.TAG"), "utf8")).toMatch(
    /^Signature: 8a477f597d28d172789f06886806bc55\n/,
  );
});

it("files never exceed the cap, also with many puts at once", async () => {
  const maxBytes = 20_000;
  const cache = openCache(maxBytes);
  const random = seededRandom(3);
  for (let round = 0; round < 25; round++) {
    const puts = Array.from({ length: 8 }, (_, index) => {
      clock.advance(1);
      const name = `k${random.bytes(1)[0]! % 50}-${index % 2}`;
      return cache.put(name, new Uint8Array(1 + random.bytes(1)[0]! * 12));
    });
    const running = Promise.all(puts);
    await new Promise(setImmediate);
    expect(cache.usedBytes).toBeLessThanOrEqual(maxBytes);
    await running;
    expect(cache.usedBytes).toBeLessThanOrEqual(maxBytes);
    expect(await bytesOnDisk()).toBe(cache.usedBytes);
  }
  expect(await bytesOnDisk()).toBeGreaterThan(maxBytes / 2);
});

it("removes what was not used for the longest", async () => {
  const cache = openCache(1000);
  for (const name of ["a", "b", "c", "d"]) {
    await cache.put(name, new Uint8Array(200 - 32));
    clock.advance(120_000);
  }
  expect(await cache.get("a")).toBeDefined();
  clock.advance(120_000);
  // 800 bytes are there: one more needs no room, a second removes the oldest until a tenth is free.
  await cache.put("e", new Uint8Array(200 - 32));
  clock.advance(120_000);
  await cache.put("f", new Uint8Array(200 - 32));
  const found: string[] = [];
  for (const name of ["a", "b", "c", "d", "e", "f"]) if (await cache.get(name)) found.push(name);
  expect(found).toEqual(["a", "d", "e", "f"]);
});

it("a smaller cap takes effect when it is opened again", async () => {
  const cache = openCache(100_000);
  for (let index = 0; index < 20; index++) await cache.put(`k${index}`, new Uint8Array(1000));
  await cache.close();
  const smaller = openCache(5000);
  await smaller.put("one more", new Uint8Array(1000));
  expect(await bytesOnDisk()).toBeLessThanOrEqual(5000);
  expect(await smaller.get("one more")).toBeDefined();
});

it("does not keep what is larger than the cap", async () => {
  const cache = openCache(1000);
  await cache.put("a", new Uint8Array(100));
  await cache.put("b", new Uint8Array(1000 - 31));
  expect(await cache.get("b")).toBeUndefined();
  expect(await cache.get("a")).toBeDefined();
  const none = openCache(0);
  await none.put("c", new Uint8Array(0));
  expect(await none.get("c")).toBeUndefined();
});

it("replaces an entry of the same key", async () => {
  const cache = openCache();
  await cache.put("a", new Uint8Array(100));
  await cache.put("a", new Uint8Array(50).fill(1));
  expect(await cache.get("a")).toEqual(new Uint8Array(50).fill(1));
  expect(cache.usedBytes).toBe(82);
});

describe("an entry is not found, and removed, when it", () => {
  const data = seededRandom(2).bytes(300);
  const damages: [string, (path: string) => Promise<void>][] = [
    ["is cut short", (path) => truncate(path, 200)],
    ["is cut to less than its tag", (path) => truncate(path, 31)],
    ["is empty", (path) => truncate(path, 0)],
    [
      "has one changed bit",
      async (path) => {
        const bytes = await readFile(path);
        bytes[17]! ^= 4;
        await writeFile(path, bytes);
      },
    ],
    [
      "was put under another name",
      async (path) => {
        const other = openCache();
        await other.put("other", new Uint8Array(300).fill(9));
        const moved = (await entryFiles()).find((file) => file !== path)!;
        await rename(moved, path);
      },
    ],
  ];
  it.each(damages)("%s", async (_, damage) => {
    const cache = openCache();
    await cache.put("a", data);
    const [path] = await entryFiles();
    await damage(path!);
    expect(await cache.get("a")).toBeUndefined();
    expect(await entryFiles()).toEqual([]);
    await cache.put("a", data);
    expect(await cache.get("a")).toEqual(data);
  });

  it("was written with another key", async () => {
    await openCache().put("a", data);
    expect(await openCache(1 << 20, { key: new Uint8Array(16) }).get("a")).toBeUndefined();
  });
});

it("counts unfinished files, and removes those that were left behind", async () => {
  const cache = openCache(10_000);
  await cache.put("a", new Uint8Array(100));
  const [path] = await entryFiles();
  const fresh = `${path}.tmp.00`;
  const abandoned = `${path}.tmp.01`;
  for (const file of [fresh, abandoned]) await writeFile(file, new Uint8Array(1000));
  const longAgo = Number(clock.nowNs() / 1_000_000_000n) - 7200;
  await utimes(abandoned, longAgo, longAgo);
  const again = openCache(10_000);
  await again.put("b", new Uint8Array(100));
  expect((await entryFiles()).includes(abandoned)).toBe(false);
  expect(again.usedBytes).toBe(132 + 1000 + 132);
});

it("learns of what another process puts", async () => {
  const maxBytes = 16_000;
  const mine = openCache(maxBytes);
  const theirs = openCache(maxBytes);
  for (let index = 0; index < 40; index++) {
    clock.advance(1000);
    await mine.put(`m${index}`, new Uint8Array(468));
    await theirs.put(`t${index}`, new Uint8Array(468));
    expect(await bytesOnDisk()).toBeLessThanOrEqual(maxBytes + 2 * (maxBytes / 16 + 500));
  }
});

it("a directory that fails is an empty cache, with one warning", async () => {
  const file = join(directory, "a-file");
  await writeFile(file, "");
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (message) => warnings.push(message) };
  const cache = diskCache({ directory: join(file, "below"), maxBytes: 1000, key, clock, logger });
  await cache.put("a", new Uint8Array(10));
  await cache.put("b", new Uint8Array(10));
  expect(await cache.get("a")).toBeUndefined();
  expect(warnings).toHaveLength(1);
  await cache.close();
});

it("an entry that cannot be written gives its room back", async () => {
  const cache = openCache();
  await cache.put("a", new Uint8Array(10));
  expect(cache.usedBytes).toBe(42);
  // Files where the directories of entries would be.
  for (let shard = 0; shard < 256; shard++) {
    const path = join(directory, shard.toString(16).padStart(2, "0"));
    await writeFile(path, "", { flag: "wx" }).catch(() => undefined);
  }
  for (let index = 0; index < 5; index++) await cache.put(`b${index}`, new Uint8Array(10));
  expect(cache.usedBytes).toBe(42);
  expect(await cache.get("a")).toEqual(new Uint8Array(10));
});

it("an abort reaches the caller as it is; a cap below zero is refused", async () => {
  await expect(openCache().get("a", { signal: AbortSignal.abort("enough") })).rejects.toBe(
    "enough",
  );
  expect(() => openCache(-1)).toThrow(RangeError);
});
