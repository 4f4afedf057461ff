// Manifests: the newest version counts, tombstones win, foreign payloads survive, many contents become one.
import { utf8Encode } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  decodeManifests,
  encodeManifests,
  type ManifestEntry,
} from "../src/manifest/manifest-codec.ts";
import { mergeManifests, pickManifest, selectManifests } from "../src/manifest/manifest-set.ts";
import { manifestCompactionThreshold } from "../src/write-session.ts";
import { newRepository } from "./new-repository.ts";
import { fc } from "./property.ts";

const entry = (
  id: string,
  modifiedAtNs: bigint,
  more: Partial<ManifestEntry> = {},
): ManifestEntry => ({
  id,
  modifiedAtNs,
  labels: { type: "t" },
  deleted: false,
  data: "{}",
  ...more,
});

describe("codec", () => {
  it("round-trips any manifest, with payloads as they are", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            id: fc.string({ minLength: 1, maxLength: 32 }),
            labels: fc.dictionary(
              fc.string({ unit: "binary" }).filter((key) => key !== "__proto__"),
              fc.string({ unit: "binary" }),
            ),
            modifiedAtNs: fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }),
            deleted: fc.constant(false),
            data: fc.jsonValue().map((value) => JSON.stringify(value)),
          }),
          { maxLength: 5 },
        ),
        (entries) => {
          expect(decodeManifests(encodeManifests(entries), "m1")).toEqual(entries);
        },
      ),
    );
  });

  it("keeps numbers that JavaScript cannot hold", () => {
    const data = '{"n":12345678901234567890.123456789,"t":1e400,"k":"\\u003c"}';
    const [decoded] = decodeManifests(encodeManifests([entry("a", 1n, { data })]), "m1");
    expect(decoded?.data).toBe(data);
  });

  it("writes tombstones without labels and data", () => {
    const tombstone = entry("a", 5n, { deleted: true });
    expect(decodeManifests(encodeManifests([tombstone]), "m1")).toEqual([
      { ...tombstone, labels: {}, data: "null" },
    ]);
  });

  it.each([
    ["not gzip", utf8Encode("{}")],
    ["cut short", encodeManifests([entry("a", 1n)]).subarray(0, 30)],
    ["nothing", new Uint8Array(0)],
  ])("refuses %s, naming the content", (_, bytes) => {
    expect(() => decodeManifests(bytes, "mabc")).toThrow(
      expect.objectContaining({
        code: "DM_MANIFEST_INVALID",
        message: expect.stringContaining("mabc"),
      }),
    );
  });
});

describe("which one counts", () => {
  it("the one modified last, tombstones included, in any order of contents", () => {
    const lists = [
      [entry("a", 1n), entry("b", 9n)],
      [entry("a", 3n, { deleted: true }), entry("b", 2n, { deleted: true })],
      [entry("a", 2n)],
    ];
    for (const order of [lists, lists.toReversed()]) {
      const merged = new Map<string, ManifestEntry>();
      for (const list of order) mergeManifests(merged, list);
      expect(selectManifests(merged.values(), {}).map(({ id }) => id)).toEqual(["b"]);
    }
  });

  it("selects by all labels, oldest first", () => {
    const entries = [
      entry("c", 3n, { labels: { type: "t", x: "1" } }),
      entry("a", 1n, { labels: { type: "t", x: "1" } }),
      entry("b", 2n, { labels: { type: "t", x: "2" } }),
    ];
    const ids = (labels: Record<string, string>): string[] =>
      selectManifests(entries, labels).map(({ id }) => id);
    expect(ids({ type: "t" })).toEqual(["a", "b", "c"]);
    expect(ids({ type: "t", x: "1" })).toEqual(["a", "c"]);
    expect(ids({ y: "1" })).toEqual([]);
    expect(pickManifest(entries)?.id).toBe("c");
    expect(pickManifest([])).toBeUndefined();
  });
});

describe("in a repository", () => {
  it("puts, finds, replaces and deletes, within the session and after it", async () => {
    const { clock, open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = session.putManifest({ type: "t", name: "a" }, { n: 1 });
    expect(await session.findManifests({ type: "t" })).toMatchObject([{ id, data: '{"n":1}' }]);
    await session.flush();
    clock.advance(1);
    const replaced = await session.replaceManifests({ type: "t", name: "a" }, { n: 2 });
    await session.commit();
    const other = await open();
    expect(await other.findManifests({ type: "t" })).toMatchObject([
      { id: replaced, data: '{"n":2}' },
    ]);
    await expect(other.readManifest(id)).rejects.toMatchObject({ code: "DM_MANIFEST_NOT_FOUND" });
    expect((await other.readManifest(replaced)).labels).toEqual({ type: "t", name: "a" });
    await using second = await other.openWriteSession();
    await second.deleteManifest(replaced);
    await second.deleteManifest("unknown");
    await second.commit();
    expect(await other.findManifests({ type: "t" })).toEqual([]);
  });

  it("refuses manifests without type, and data that is no JSON", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    expect(() => session.putManifest({}, {})).toThrow(TypeError);
    expect(() => session.putManifest({ type: "t" }, undefined)).toThrow(TypeError);
    expect(() => session.putManifest({ type: "t" }, null, { rawData: "{" })).toThrow();
  });

  it("merges many manifest contents into one, and loses none", async () => {
    const { clock, open, repository } = await newRepository();
    const ids: string[] = [];
    for (let i = 0; i <= manifestCompactionThreshold; i += 1) {
      clock.advance(1000);
      await using session = await repository.openWriteSession();
      ids.push(session.putManifest({ type: "t" }, { i }));
      await session.commit();
    }
    const other = await open();
    expect((await other.findManifests({ type: "t" })).map(({ id }) => id)).toEqual(ids);
    const contents = [];
    for await (const content of other.listContents({ prefix: "m" })) contents.push(content);
    expect(contents.length).toBeLessThan(4);
  });

  it("does not bring back, by merging, what another client deleted meanwhile", async () => {
    const { clock, open, repository } = await newRepository();
    const put = async (): Promise<string> => {
      clock.advance(1000);
      await using session = await repository.openWriteSession();
      const id = session.putManifest({ type: "t" }, {});
      await session.commit();
      return id;
    };
    const first = await put();
    for (let i = 0; i < manifestCompactionThreshold - 2; i += 1) await put();
    // Loaded with all of them, and then out of date.
    const stale = await open();
    expect((await stale.findManifests({ type: "t" })).length).toBe(manifestCompactionThreshold - 1);
    clock.advance(1000);
    await using session = await repository.openWriteSession();
    await session.deleteManifest(first);
    // Merges everything, the deletion included, of which nothing is left then.
    await session.flush();
    session.putManifest({ type: "t" }, {});
    await session.commit();
    await using late = await stale.openWriteSession();
    late.putManifest({ type: "t" }, {});
    await late.commit();
    const ids = (await (await open()).findManifests({ type: "t" })).map(({ id }) => id);
    expect(ids).not.toContain(first);
    expect(ids.length).toBe(manifestCompactionThreshold);
  });
});
