// Decoders get bytes that nobody wrote: arbitrary ones, and valid ones with pieces changed, cut out or put in, as bytes
// and as JSON values. They answer or throw one of our errors, quickly, and never allocate by a length they were told.
import { compress } from "@dm/compression";
import { isDmError, toHex, utf8Decode, utf8DecodeStrict, utf8Encode } from "@dm/core";
import type { BlobMetadata } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { decodeSessionMarker, encodeSessionMarker } from "../src/content/session-marker.ts";
import { contentIdFromHash, parseContentId } from "../src/content-id.ts";
import { createEcc } from "../src/ecc/index.ts";
import { decodeBlobConfig, encodeBlobConfig } from "../src/format/blob-config.ts";
import { newFormat } from "../src/format/create-format.ts";
import { encodeFormatBlob, parseFormatBlob } from "../src/format/format-blob.ts";
import { encodeFormatCopy, recoverFormatCopy } from "../src/format/format-copy.ts";
import { decodeFormatJson, encodeFormatJson } from "../src/format/format-json.ts";
import { defaultEpochParameters, parseTime } from "../src/index.ts";
import { buildIndex } from "../src/index-blob/build.ts";
import type { IndexEntry } from "../src/index-blob/entry.ts";
import { MergedIndex } from "../src/index-blob/merged.ts";
import { openIndex } from "../src/index-blob/open.ts";
import {
  epochStateOf,
  epochToCompact,
  maxEpochsToList,
  planActive,
  supersededEpochs,
  supersededMarkers,
  writeEpochOf,
} from "../src/index-manager/epoch-state.ts";
import {
  activeV0Blobs,
  decodeCompactionLog,
  decodeDelayedCleanup,
  encodeCompactionLog,
  encodeDelayedCleanup,
} from "../src/index-manager/v0-log.ts";
import { parseJson, rawElements, rawMembers } from "../src/json/raw-json.ts";
import {
  decodeSchedule,
  emptySchedule,
  encodeSchedule,
  recordRun,
} from "../src/maintenance/schedule.ts";
import { decodeManifests, encodeManifests } from "../src/manifest/manifest-codec.ts";
import { decodeIndirect, encodeIndirect } from "../src/object/indirect-codec.ts";
import { parseObjectId } from "../src/object/object-id.ts";
import { decodePostamble, encodePostamble } from "../src/pack/postamble.ts";
import { bytesOf, seededRandomBytes, startNs } from "./new-repository.ts";
import { fc } from "./property.ts";
import { largestAllocation } from "./robustness/allocations.ts";

interface Decoder {
  readonly name: string;
  /** Bytes that it accepts. */
  readonly valid: readonly Uint8Array[];
  readonly decode: (bytes: Uint8Array) => unknown;
  /** What it may allocate beyond a few times its input. */
  readonly extraBytes?: number;
}

const entry = (seed: number, more: Partial<IndexEntry> = {}): IndexEntry => ({
  contentId: contentIdFromHash(seed % 2 === 0 ? "k" : "", bytesOf(16, seed)),
  timestampSeconds: 1_700_000_000 + seed,
  packBlobId: `p${"1".repeat(31)}${seed % 3}-s0011223344556677147`,
  packOffset: 32 + seed * 100,
  packedLength: 100,
  originalLength: 72,
  compressionHeaderId: 0,
  formatVersion: 3,
  encryptionKeyId: 0,
  deleted: seed % 4 === 0,
  ...more,
});
const entries = [1, 2, 3, 4, 5].map((seed) => entry(seed));
const wide = entries.map((one, i) => ({
  ...one,
  originalLength: 2 ** 24 + i,
  compressionHeaderId: i % 2 === 0 ? 0 : 0x1101,
}));

/** Everything that can be asked of an index; each answer is a value or one of our errors. */
function askIndex(bytes: Uint8Array): void {
  const index = openIndex(bytes);
  const merged = new MergedIndex([index, openIndex(buildIndex(entries, { version: 2 }))]);
  for (let position = 0; position < index.count; position += 1) {
    index.find(index.keyAt(position));
    index.deletedAt(position);
    index.timestampAt(position);
    ours(() => index.packBlobIdAt(position));
    ours(() => index.entryAt(position));
  }
  for (const { contentId } of entries) ours(() => merged.find(contentId));
  ours(() => [...merged.entries()]);
  ours(() => [...merged.entries({ prefix: "k" })]);
}

const format = {
  ...newFormat({ eccOverheadPercent: 2 }, seededRandomBytes(1)),
  upgradeLock: {
    ownerId: "o",
    creationTimeNs: startNs,
    advanceNoticeDurationMs: 1,
    ioDrainTimeoutMs: 2,
    statusPollIntervalMs: 3,
    message: "m",
    maxPermittedClockDriftMs: 4,
  },
  requiredFeatures: [
    {
      feature: "index-v2",
      ifNotUnderstood: { warn: true, message: "m", url: "u", upgradeToVersion: "1" },
    },
  ],
};
const formatBlob = encodeFormatBlob({
  tool: "t",
  buildVersion: "v",
  buildInfo: "i",
  uniqueId: bytesOf(32, 1),
  keyAlgorithm: "scrypt-65536-8-1",
  encryption: "AES256_GCM",
  encryptedBlock: bytesOf(100, 2),
});
const manifests = encodeManifests([
  {
    id: "1".repeat(32),
    labels: { type: "snapshot", hostname: "h" },
    modifiedAtNs: startNs,
    deleted: false,
    data: '{"a":[1,2,{"b":null}]}',
  },
  { id: "2".repeat(32), labels: {}, modifiedAtNs: startNs, deleted: true, data: "null" },
]);
const blob = (id: string): BlobMetadata => ({ id, length: 100, timestampNs: startNs });
const ecc = createEcc("REED-SOLOMON-CRC32", 2);

/** JSON that is inside gzip, so that damage to it is not stopped by the checksum. */
const gzipped = (json: Uint8Array): Uint8Array => compress("gzip", json).subarray(4);

const decoders: readonly Decoder[] = [
  {
    name: "index",
    valid: [
      buildIndex(
        entries.map((one) => ({ ...one, compressionHeaderId: 0 })),
        { version: 1 },
      ),
      buildIndex(entries, { version: 2 }),
      buildIndex(wide, { version: 2 }),
    ],
    decode: askIndex,
  },
  {
    name: "postamble of a pack",
    valid: [
      encodePostamble({
        localIndexIv: bytesOf(16),
        localIndexOffset: 4096,
        localIndexLength: 300,
      }),
    ],
    decode: decodePostamble,
  },
  { name: "format blob", valid: [formatBlob], decode: (bytes) => parseFormatBlob(bytes) },
  {
    name: "format",
    valid: [encodeFormatJson(format)],
    decode: (bytes) => decodeFormatJson(bytes, "b"),
  },
  {
    name: "copy of the format blob",
    valid: [encodeFormatCopy(formatBlob)],
    decode: (bytes) => recoverFormatCopy(bytes, bytes),
  },
  {
    name: "blob configuration",
    valid: [
      encodeBlobConfig({}),
      encodeBlobConfig({ retention: { mode: "GOVERNANCE", periodMs: 86_400_000 } }),
    ],
    decode: decodeBlobConfig,
  },
  {
    name: "manifests",
    valid: [manifests],
    decode: (bytes) => decodeManifests(bytes, "m1"),
    extraBytes: 1 << 20,
  },
  {
    name: "manifests inside gzip",
    valid: [
      utf8Encode(
        '{"entries":[{"id":"11","labels":{"type":"t"},"modified":"2026-01-01T00:00:00Z","data":{"a":[1,{}]}}]}\n',
      ),
    ],
    decode: (bytes) => decodeManifests(gzipped(bytes), "m1"),
    extraBytes: 1 << 20,
  },
  {
    name: "index of an object",
    valid: [
      encodeIndirect([
        { start: 0, length: 10, objectId: "aa" },
        { start: 10, length: 5, objectId: "bb" },
      ]),
    ],
    decode: (bytes) => decodeIndirect(bytes, "Ixaa"),
  },
  {
    name: "schedule",
    valid: [
      encodeSchedule(
        recordRun({ ...emptySchedule, nextFullNs: startNs }, "cleanup-logs", {
          startNs,
          endNs: startNs + 1n,
          success: false,
          error: "e",
          extra: [1],
        }),
      ),
    ],
    decode: decodeSchedule,
  },
  {
    name: "session marker",
    valid: [
      encodeSessionMarker({
        id: "s1",
        startedAtNs: startNs,
        checkpointAtNs: startNs,
        username: "u",
        hostname: "h",
      }),
    ],
    decode: (bytes) => decodeSessionMarker(bytes, "sabc"),
  },
  {
    name: "compaction log",
    valid: [encodeCompactionLog({ inputs: [blob("n1"), blob("n2")], outputs: [blob("n3")] })],
    decode: (bytes) => activeV0Blobs([blob("n1"), blob("n3")], [decodeCompactionLog(bytes, "m1")]),
  },
  {
    name: "list of finished compaction logs",
    valid: [encodeDelayedCleanup({ blobIds: ["m1", "m2"], scheduledAtNs: startNs })],
    decode: (bytes) => decodeDelayedCleanup(bytes, "l1"),
  },
  {
    name: "error correction",
    valid: [ecc.encode(bytesOf(5)), ecc.encode(bytesOf(3000)), ecc.encode(bytesOf(70_000))],
    decode: (bytes) => ecc.decode(bytes),
    extraBytes: 1 << 20,
  },
  {
    name: "raw members",
    valid: [utf8Encode('{"a":1,"b":[1,{"c":"\\u0041"}],"d":null}')],
    decode: (bytes) => rawMembers(utf8DecodeStrict(bytes)),
  },
  {
    name: "raw elements",
    valid: [utf8Encode('[1,"a",{"b":[]},null]')],
    decode: (bytes) => rawElements(utf8DecodeStrict(bytes)),
  },
  {
    name: "time",
    valid: ["2026-01-01T00:00:00Z", "0001-01-01T00:00:00.123456789+01:30"].map(utf8Encode),
    decode: (bytes) => parseTime(utf8Decode(bytes)),
  },
  {
    name: "object id",
    valid: ["Ixf9cbfd617f9e6dd17aa0669f7d084312", "Dkaa", "Zbb"].map(utf8Encode),
    decode: (bytes) => parseObjectId(utf8Decode(bytes)),
  },
  {
    name: "content id",
    valid: ["kf9cbfd617f9e6dd17aa0669f7d084312", "aabb"].map(utf8Encode),
    decode: (bytes) => parseContentId(utf8Decode(bytes)),
  },
];

/** Runs something that may throw one of our errors, and nothing else. */
function ours(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!isDmError(error)) throw error;
  }
}

const maxMs = 2000;

function expectTame(decoder: Decoder, bytes: Uint8Array): void {
  const started = performance.now();
  const largest = largestAllocation(() => ours(() => decoder.decode(bytes)));
  expect(largest).toBeLessThanOrEqual(16 * bytes.length + 4096 + (decoder.extraBytes ?? 0));
  expect(performance.now() - started).toBeLessThan(maxMs);
}

/** Pieces changed, cut out or put in, at places given as shares of the length. */
const edit = fc.record({
  place: fc.double({ min: 0, max: 1, noNaN: true }),
  removed: fc.nat({ max: 12 }),
  added: fc.uint8Array({ maxLength: 12 }),
});

function edited(
  bytes: Uint8Array,
  edits: ReadonlyArray<{ place: number; removed: number; added: Uint8Array }>,
) {
  let result = Buffer.from(bytes);
  for (const { added, place, removed } of edits) {
    const at = Math.floor(place * result.length);
    result = Buffer.concat([result.subarray(0, at), added, result.subarray(at + removed)]);
  }
  return new Uint8Array(result);
}

const oddValue = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0.5,
    2 ** 31,
    2 ** 53,
    1e308,
    -1e308,
    "",
    "9999-99-99T99:99:99Z",
    "99999999999999999999",
    "AAA=",
    "____",
    [],
    {},
    [null],
    [[[]]],
    { entries: null },
  ),
  fc.jsonValue(),
);

/** The same JSON with one value, at any depth, replaced, removed or doubled. */
function replaced(value: unknown, path: readonly number[], odd: unknown): unknown {
  if (typeof value !== "object" || value === null) return odd;
  const keys = Object.keys(value);
  const [head = 0, ...rest] = path;
  if (keys.length === 0 || path.length === 0) return odd;
  const key = keys[head % keys.length]!;
  const child = (value as Record<string, unknown>)[key];
  const changed = replaced(child, rest, odd);
  if (Array.isArray(value))
    return value.map((one: unknown, index) => (`${index}` === key ? changed : one));
  return { ...value, [key]: changed };
}

describe.each(decoders)("$name", (decoder) => {
  it("accepts what was written", () => {
    for (const bytes of decoder.valid) decoder.decode(bytes);
  });

  it("is tame with arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expectTame(decoder, bytes);
      }),
    );
  });

  it("is tame with damaged bytes", () => {
    const damage = fc.tuple(
      fc.constantFrom(...decoder.valid),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
    );
    fc.assert(
      fc.property(damage, ([bytes, edits]) => {
        expectTame(decoder, edited(bytes, edits));
      }),
    );
  });

  it("is tame at every length", () => {
    for (const bytes of decoder.valid) {
      const step = bytes.length > 4096 ? 211 : 1;
      for (let length = 0; length < bytes.length; length += step) {
        expectTame(decoder, bytes.subarray(0, length));
        // A view into a longer buffer must not show what lies beyond it.
        expectTame(decoder, bytes.subarray(length));
      }
    }
  });

  const texts = decoder.valid.flatMap((bytes) => {
    try {
      return [parseJson(utf8DecodeStrict(bytes))];
    } catch {
      return [];
    }
  });

  if (texts.length === 0) return;

  it("is tame with odd JSON values", () => {
    const odd = fc.tuple(
      fc.constantFrom(...texts),
      fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 4 }),
      oddValue,
    );
    fc.assert(
      fc.property(odd, ([value, path, put]) => {
        expectTame(decoder, utf8Encode(JSON.stringify(replaced(value, path, put)) ?? ""));
      }),
    );
  });
});

describe("names of epoch blobs", () => {
  const digits = fc.oneof(
    fc.nat({ max: 30 }).map(String),
    fc.constantFrom("999999999999999", "9999999999999999999", "00", "", "-1", "1e9"),
  );
  const hash = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(toHex);
  const set = fc.constantFrom("-s1-c1", "-s2-c2", "-s2-c0", "-s3-c999999999", "-c1", "", "-s-c");
  const single = fc.tuple(digits, hash, set).map(([n, h, s]) => `${n}_${h}${s}`);
  const range = fc.tuple(digits, digits, hash, set).map(([a, b, h, s]) => `xr${a}_${b}_${h}${s}`);
  const named = (names: fc.Arbitrary<string>) =>
    fc.array(
      fc.tuple(names, fc.nat({ max: 100 })).map(([id, age]) => ({
        id,
        length: 1,
        timestampNs: startNs - BigInt(age) * 3_600_000_000_000n,
      })),
      { maxLength: 8 },
    );
  const listing = fc.record({
    markers: named(digits.map((n) => `xe${n}`)),
    watermarks: named(digits.map((n) => `xw${n}`)),
    singles: named(single.map((name) => `xs${name}`)),
    ranges: named(range),
    flushed: named(single.map((name) => `xn${name}`)),
  });

  it("lead to a plan of bounded size", () => {
    fc.assert(
      fc.property(listing, ({ flushed, ...rest }) => {
        const writeEpoch = writeEpochOf(rest.markers);
        const state = epochStateOf({ ...rest, recent: new Map([[writeEpoch, flushed]]) });
        const plan = planActive(state);
        expect(plan.epochsToList.length).toBeLessThanOrEqual(maxEpochsToList);
        expect(new Set(plan.blobIds).size).toBeLessThanOrEqual(40);
        epochToCompact(state);
        supersededEpochs(state, defaultEpochParameters);
        supersededMarkers(state, defaultEpochParameters);
      }),
    );
  });

  it("a plan for few epochs and one for many name the same blobs", () => {
    fc.assert(
      fc.property(listing, fc.nat({ max: 20 }), ({ flushed, ...rest }, gap) => {
        const writeEpoch = 400 + gap;
        const state = {
          ...epochStateOf({ ...rest, recent: new Map([[writeEpoch, flushed]]) }),
          writeEpoch,
        };
        const plan = planActive(state);
        const covered = new Set(state.singles.keys());
        const reached = planActive({ ...state, singles: new Map(), recent: new Map() });
        for (let epoch = 0; epoch <= writeEpoch + 1; epoch += 1) {
          const expected =
            reached.isToBeListed?.(epoch) === true &&
            !(covered.has(epoch) && epoch <= writeEpoch - 2) &&
            epoch !== writeEpoch;
          expect(plan.isToBeListed?.(epoch) ?? plan.epochsToList.includes(epoch)).toBe(expected);
        }
      }),
    );
  });
});
