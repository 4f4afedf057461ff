// Directory streams and snapshot manifests, made up at random: what is written reads back equal and is written the same
// again; members of later versions survive; damage of any kind is a typed error or valid JSON, and never another exception.
import { isDmError, utf8Decode, utf8Encode } from "@dm/core";
import { seededRandom } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import {
  compareEntries,
  type DirectoryEntry,
  type DirectorySummary,
  decodeDirectory,
  decodeSnapshotManifest,
  encodeDirectory,
  encodeSnapshotManifest,
  type Snapshot,
  snapshotLabels,
} from "../src/index.ts";
import { entryOf } from "./made-up.ts";
import { fc } from "./property.ts";

const text = fc.string({ unit: "binary" }).map((value) => value.toWellFormed());
const count = fc.oneof(fc.nat(), fc.maxSafeNat());
const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const unknownMembers = fc.constantFrom(
  undefined,
  [["xattrs", '{"user.a":"AA==","b":[1e400,12345678901234567890]}']] as const,
  [
    ["x", "null"],
    ["y<&>", '" \\ud800"'],
  ] as const,
);
const optional = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;

const summary: fc.Arbitrary<DirectorySummary> = fc
  .record({
    totalBytes: count,
    fileCount: count,
    symlinkCount: count,
    directoryCount: count,
    maxModifiedAtNs: time,
    incompleteReason: fc.constantFrom(undefined, "checkpoint", "canceled"),
    failedCount: count,
    ignoredErrorCount: count,
    failures: fc.array(fc.record({ path: text, error: text }), { maxLength: 3 }),
    unknownMembers,
  })
  .map(optional);
const entry: fc.Arbitrary<DirectoryEntry> = fc
  .record({
    name: text,
    type: fc.constantFrom("f", "d", "s", "", "p"),
    mode: fc.nat({ max: 0o7777 }),
    sizeBytes: count,
    modifiedAtNs: time,
    uid: fc.nat({ max: 2 ** 32 - 1 }),
    gid: fc.nat({ max: 2 ** 32 - 1 }),
    objectId: fc.constantFrom("", "k00", "Ix01", "00"),
    summary: fc.option(summary, { nil: undefined }),
    unknownMembers,
  })
  .map(optional);
const directory = fc
  .record({ entries: fc.array(entry, { maxLength: 6 }), summary, unknownMembers })
  .map(optional);
const stat = fc.integer();
const stats = fc
  .record({
    totalSize: stat,
    excludedTotalSize: stat,
    fileCount: stat,
    cachedFiles: stat,
    nonCachedFiles: stat,
    dirCount: stat,
    excludedFileCount: stat,
    excludedDirCount: stat,
    ignoredErrorCount: stat,
    errorCount: stat,
    unknownMembers,
  })
  .map(optional);
const snapshot: fc.Arbitrary<Snapshot> = fc
  .record({
    id: fc.constant("abc"),
    source: fc.record({ host: text, userName: text, path: text }),
    description: text,
    startedAtNs: time,
    endedAtNs: time,
    stats,
    incompleteReason: fc.constantFrom(undefined, "limit reached"),
    rootEntry: fc.option(entry, { nil: undefined }),
    tags: fc.dictionary(text, text, { noNullPrototype: true }),
    pins: fc.array(text, { maxLength: 3 }).map((pins) => pins.toSorted()),
    unknownMembers,
  })
  .map(optional);

describe("round trips", () => {
  it("directories", () => {
    fc.assert(
      fc.property(directory, (value) => {
        const bytes = encodeDirectory(value);
        const read = decodeDirectory(bytes);
        expect(read).toEqual({ ...value, entries: value.entries.toSorted(compareEntries) });
        expect(encodeDirectory(read)).toEqual(bytes);
      }),
    );
  });

  it("snapshot manifests", () => {
    fc.assert(
      fc.property(snapshot, (value) => {
        const data = encodeSnapshotManifest(value);
        expect(decodeSnapshotManifest(data, "abc")).toEqual(value);
        expect(encodeSnapshotManifest(decodeSnapshotManifest(data))).toBe(data);
      }),
    );
  });
});

describe("what Go reads is read", () => {
  it("any order and spacing, names in any case, null for nothing", () => {
    const stored = `{ "summary" : {"FILES":1,"size":null},\n"ENTRIES":[{"OBJ":"00","Name":"a","mtime":null}],"stream":"kopia:directory"}`;
    const { entries, summary: found } = decodeDirectory(utf8Encode(stored));
    expect(entries).toEqual([
      entryOf({ name: "a", type: "", mode: 0, modifiedAtNs: 0n, objectId: "00" }),
    ]);
    expect(found).toMatchObject({ fileCount: 1, totalBytes: 0 });
  });

  it("Go's zero time, as the clients keep it: wrapped to 64 bits", () => {
    const stored = `{"stream":"kopia:directory","entries":[{"mtime":"0001-01-01T00:00:00Z","obj":""}],"summary":{}}`;
    const read = decodeDirectory(utf8Encode(stored));
    expect(utf8Decode(encodeDirectory(read))).toContain("1754-08-30T22:43:41.128654848Z");
  });
});

it("names that are not UTF-8 can collide, and sort with the others", () => {
  const named = (name: string, objectId: string) => entryOf({ name, objectId });
  const bytes = encodeDirectory({
    entries: [
      named("\u{1f600}", "01"),
      named("\udcff", "02"),
      named("\ufffe", "03"),
      named("\udcfe", "04"),
    ],
    summary: decodeDirectory(utf8Encode('{"stream":"kopia:directory","entries":null,"summary":{}}'))
      .summary,
  });
  const shown = utf8Decode(bytes);
  expect(shown.split('"\\ufffd"')).toHaveLength(3);
  const { entries } = decodeDirectory(bytes);
  expect(entries.filter(({ name }) => name === "\ufffd")).toHaveLength(2);
});

describe("refused", () => {
  const good = entryOf({ objectId: "00" });
  const stream = (entries: string, rest = ""): Uint8Array =>
    utf8Encode(`{"stream":"kopia:directory","entries":${entries},"summary":{}${rest}}`);

  it.each([
    ["nothing", new Uint8Array(0)],
    ["no JSON", utf8Encode("{")],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["no object", utf8Encode("[]")],
    ["null", utf8Encode("null")],
    ["another stream", utf8Encode('{"stream":"kopia:indirect","entries":[]}')],
    ["no stream", utf8Encode("{}")],
    ["entries that are no list", stream("{}")],
    ["an entry that is no object", stream("[1]")],
    ["a name that is no text", stream('[{"name":1}]')],
    ["a negative size", stream('[{"size":-1}]')],
    ["a size beyond 2^53", stream('[{"size":9007199254740993}]')],
    ["half a byte", stream('[{"size":0.5}]')],
    ["a user beyond 32 bits", stream('[{"uid":4294967296}]')],
    ["a mode that is no number", stream('[{"mode":"rwx"}]')],
    ["a time that is none", stream('[{"mtime":"yesterday"}]')],
    ["a summary that is no object", stream('[{"summ":[]}]')],
    ["a count that is a text", stream('[{"summ":{"files":"1"}}]')],
    ["failures that are no list", stream('[{"summ":{"errors":{}}}]')],
  ])("%s", (_what, bytes) => {
    const error: unknown = (() => {
      try {
        return decodeDirectory(bytes, "k1234");
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ name: "FormatError", code: "DM_DIRECTORY_INVALID" });
    expect((error as Error).message).toContain("k1234");
  });

  it.each(["", "[]", "null", '{"startTime":1}', '{"pins":[1]}', '{"tags":{"a":1}}', '{"stats":1}'])(
    "the manifest %s",
    (data) => {
      expect(() => decodeSnapshotManifest(data, "m1")).toThrow(
        expect.objectContaining({
          code: "DM_SNAPSHOT_INVALID",
          details: expect.objectContaining({ manifestId: "m1" }),
        }),
      );
    },
  );

  it("what cannot be stored", () => {
    const write = (change: Partial<DirectoryEntry>) => () =>
      encodeDirectory({
        entries: [{ ...good, ...change }],
        summary: decodeDirectory(stream("null")).summary,
      });
    expect(write({})).not.toThrow();
    expect(write({ sizeBytes: -1 })).toThrow(RangeError);
    expect(write({ sizeBytes: 2 ** 53 })).toThrow(RangeError);
    expect(write({ modifiedAtNs: 2n ** 63n })).toThrow(RangeError);
    expect(() => snapshotLabels({ host: "h", userName: "u", path: "" })).toThrow(RangeError);
    const source = { host: "h", userName: "u", path: "/p" };
    expect(() => snapshotLabels(source, { type: "x" })).toThrow(RangeError);
  });

  it("random damage is a typed error, or still JSON of that shape", () => {
    const seed = Number(process.env["DM_SEED"] ?? 1);
    const random = seededRandom(seed);
    const [sample] = fc.sample(fc.tuple(directory, snapshot), { seed, numRuns: 1 });
    const bytes = encodeDirectory({ ...sample![0], entries: [good, entryOf({ type: "d" })] });
    const data = utf8Encode(encodeSnapshotManifest(sample![1]));
    const rounds = process.env["DM_FULL"] ? 100_000 : 5_000;
    let refused = 0;
    for (let round = 0; round < rounds; round++) {
      for (const [original, decode] of [
        [bytes, (damaged: Uint8Array) => decodeDirectory(damaged)],
        [data, (damaged: Uint8Array) => decodeSnapshotManifest(utf8Decode(damaged))],
      ] as const) {
        const damaged = original.slice(
          0,
          random.integer(3) ? undefined : random.integer(original.length),
        );
        for (let flips = random.integer(4); flips >= 0 && damaged.length > 0; flips--)
          damaged[random.integer(damaged.length)] = random.integer(256);
        try {
          decode(damaged);
        } catch (error) {
          if (!isDmError(error)) throw new Error(`seed ${seed}, round ${round}`, { cause: error });
          refused += 1;
        }
      }
    }
    expect(refused).toBeGreaterThan(rounds / 2);
  });
});
