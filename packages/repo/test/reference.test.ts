// The independent decoder proves itself on what the real kopia wrote: hashes, cut points, compressed data and error
// correction of the vectors, then every golden repository without a single problem, with the contents, manifests and
// files that kopia lists, each file cut where the splitter cuts. Of the damaged repositories it sees what is damaged.
import { createHash } from "node:crypto";
import {
  applyPatches,
  blobsOf,
  corruptCases,
  generate,
  goldenRepositories,
  type Json,
  loadGolden,
  loadVectors,
} from "@dm/fixtures";
import { beforeAll, describe, expect, it } from "vitest";
import { type Decoded, decodeRepository } from "./reference/decoder.ts";
import { decompress } from "./reference/decompress.ts";
import { decodeEcc, eccLayout } from "./reference/ecc.ts";
import { hashes } from "./reference/hashes.ts";
import { segmentLengths } from "./reference/splitter.ts";

const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
const sha256 = (pieces: Iterable<Uint8Array>): string => {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
};
const buzhashTable: readonly number[] = loadVectors("buzhash32-table").table.map((word: string) =>
  Number.parseInt(word, 16),
);

describe("the parts of the decoder", () => {
  const hashing = loadVectors("hashing");
  it.each(Object.keys(hashing.algorithms))("hash with %s", (name) => {
    const input = generate(hashing.input, 100_000);
    for (const { digests, key } of hashing.algorithms[name].cases) {
      for (const [length, digest] of Object.entries(digests ?? {})) {
        if (Number(length) > input.length) continue;
        const actual = hashes[name]!(hex(key), input.subarray(0, Number(length)));
        expect(Buffer.from(actual).toString("hex"), `${length} bytes`).toBe(digest);
      }
    }
  });

  // The first set is 48 MiB; the second has a cut of every splitter.
  const { cuts, data } = loadVectors("splitter").sets[1];
  const bytes = generate(data);
  it.each(Object.keys(cuts))("split with %s", (name) => {
    const lengths = segmentLengths(name, [bytes], buzhashTable);
    const expected = cuts[name].lengths ?? cuts[name];
    if (Array.isArray(expected)) expect(lengths).toEqual(expected);
    else {
      const words = Buffer.from(Uint32Array.from(lengths).buffer);
      expect(lengths).toHaveLength(expected.count);
      expect(sha256([words])).toBe(expected.sha256LE32);
    }
  });

  const compression = loadVectors("compression");
  const supported = compression.compressors.filter((compressor: Json) => compressor.supported);
  it.each<Json>(supported)("decompress $name", ({ samples }) => {
    expect(samples.length).toBeGreaterThan(0);
    for (const { base64, input } of samples) {
      if (base64 === undefined) continue;
      const plain = decompress(Buffer.from(base64, "base64"));
      expect(sha256([plain]), input).toBe(compression.inputs[input].sha256);
    }
  });

  it("take the shards of every overhead apart", () => {
    for (const [percent, shard, data, parity] of loadVectors("ecc-parameters").rows)
      expect(eccLayout(percent), `${percent} per cent`).toEqual({ data, parity, shard });
    for (const { cases, overheadPercent } of loadVectors("ecc").overheads) {
      for (const { data, encodedBase64 } of cases) {
        if (!encodedBase64) continue;
        const decoded = decodeEcc(Buffer.from(encodedBase64, "base64"), overheadPercent);
        expect(sha256([decoded])).toBe(data.sha256);
      }
    }
  });
});

describe.each(goldenRepositories())("%s", (name) => {
  const { blobs, expected } = loadGolden(name);
  let decoded: Decoded;

  beforeAll(() => {
    decoded = decodeRepository(blobs, expected.password);
  });

  it("is found sound", () => {
    expect(decoded.problems).toEqual([]);
    expect(decoded.format.splitter).toBe(expected.repositoryStatus.objectFormat.splitter);
  });

  it("has the same active index blobs and contents", () => {
    expect([...decoded.active.blobs].sort()).toEqual([...expected.activeIndexBlobs].sort());
    expect(decoded.active.writeEpoch).toBe(expected.epoch?.writeEpoch);
    const contents = [...decoded.contents.values()].map((entry) => ({
      id: entry.id,
      length: entry.length,
      packedLength: entry.packedLength,
      pack: entry.pack,
      offset: entry.offset,
      time: entry.timestamp,
      formatVersion: entry.formatVersion,
      compressionID: entry.compression,
      deleted: entry.deleted,
    }));
    const listed = expected.contents.map(({ compression: _, ...content }: Json) => ({
      ...content,
      compressionID: Number(content.compressionID ?? 0),
      deleted: content.deleted ?? false,
    }));
    const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
    expect(contents.sort(byId)).toEqual(listed.sort(byId));
  });

  it("has the same manifests", () => {
    const found = decoded.manifests.map(({ data, id, labels }) => ({ data, id, labels }));
    const listed = expected.manifests.map(({ data, id, labels }: Json) => ({ data, id, labels }));
    const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
    expect(found.sort(byId)).toEqual(listed.sort(byId));
  });

  it("has the same files, cut where the splitter cuts", () => {
    const seen = new Set<string>();
    for (const entry of Object.values<Json[]>(expected.trees).flat()) {
      if (!entry.objectID || seen.has(entry.objectID)) continue;
      seen.add(entry.objectID);
      // A chunk that is compressed by itself has no index; nothing to compare with the splitter.
      const lengths: number[] = [];
      const chunks = function* (): Generator<Uint8Array> {
        for (const chunk of decoded.readObject(entry.objectID)) {
          lengths.push(chunk.length);
          yield chunk;
        }
      };
      if (entry.type === "f") expect(sha256(chunks()), entry.path).toBe(entry.sha256);
      else for (const _ of chunks());
      const cuts = segmentLengths(
        decoded.format.splitter,
        decoded.readObject(entry.objectID),
        buzhashTable,
      );
      expect(cuts.length > 0 ? cuts : [0], entry.path).toEqual(lengths);
    }
  });
});

// What no single blob betrays: random bytes (older packs begin with a checked copy of the format blob instead), and blobs
// that a sound repository may lack.
const invisible =
  /\/unchanged|v3-.*\/pack-preamble|\/(index|blobcfg|maintenance|range-checkpoint|epoch-marker|watermark)-missing/;

it.each(corruptCases())("damage seen: $name", (damaged) => {
  const { expected, files } = loadGolden(damaged.repo);
  applyPatches(files, damaged.patches);
  const decode = (): Decoded =>
    decodeRepository(blobsOf(files), damaged.password ?? expected.password);
  if (invisible.test(damaged.name)) expect(decode().problems).toEqual([]);
  else if (/\/(format-|wrong-password)/.test(damaged.name)) expect(decode).toThrow();
  else {
    const named = decode().problems.map(({ blob }) => blob);
    for (const { blob } of damaged.patches) expect(named).toContain(blob);
  }
});
