// A volume is cut where the plain splitter cuts its whole stream, whatever its holes; holes are never read. With a base,
// the chunks are again those of the whole stream, and only what has changed is read, up to the next common cut.
import { splitmix64 } from "@dm/fixtures";
import { createSplitter, splitterAlgorithms } from "@dm/splitter";
import { describe, expect, it } from "vitest";
import { type ByteRange, lengthOfRanges, mergeRanges } from "../src/volume/byte-ranges.ts";
import { cutVolume, type VolumeChunk } from "../src/volume/cutter.ts";
import type { Volume } from "../src/volume/volume.ts";
import { isZero } from "../src/volume/zeros.ts";
import { fc } from "./property.ts";
import { bytesOfSegments, memoryVolume, segment, volumeOfSegments } from "./volume-in-memory.ts";

const runs = process.env["DM_FULL"] ? 1000 : 60;
const splitters = ["FIXED-128K", "DYNAMIC-128K-BUZHASH", "DYNAMIC-128K-RABINKARP"];
const blockLengths = fc.constantFrom(1 << 12, 50_000, 1 << 17, 1 << 22);
const segments = fc.array(segment, { maxLength: 12 });

/** Lengths of the chunks of the whole stream. */
function plainCuts(bytes: Uint8Array, name: string): number[] {
  const splitter = createSplitter(name);
  const lengths: number[] = [];
  let from = 0;
  for (let cut = splitter.next(bytes, from); cut >= 0; cut = splitter.next(bytes, from)) {
    lengths.push(cut - from);
    from = cut;
  }
  if (from < bytes.length) lengths.push(bytes.length - from);
  return lengths;
}

async function chunksOf(
  volume: Volume,
  options: Parameters<typeof cutVolume>[1],
): Promise<VolumeChunk[]> {
  const chunks: VolumeChunk[] = [];
  for await (const chunk of cutVolume(volume, options))
    chunks.push(chunk.kind === "data" ? { ...chunk, bytes: chunk.bytes.slice() } : chunk);
  return chunks;
}

/** Objects of one chunk each are called by their bytes. */
const nameOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

function partsOf(bytes: Uint8Array, name: string): Array<ByteRange & { objectId: string }> {
  let start = 0;
  return plainCuts(bytes, name).map((length) => {
    const part = { start, length, objectId: nameOf(bytes.subarray(start, start + length)) };
    start += length;
    return part;
  });
}

function expectWhole(chunks: readonly VolumeChunk[], bytes: Uint8Array, splitter: string): void {
  expect(chunks.map(({ length }) => length)).toEqual(plainCuts(bytes, splitter));
  let at = 0;
  for (const chunk of chunks) {
    expect(chunk.start).toBe(at);
    at += chunk.length;
    const wanted = bytes.subarray(chunk.start, at);
    if (chunk.kind === "zero") expect(isZero(wanted)).toBe(true);
    if (chunk.kind === "data") expect(Buffer.compare(chunk.bytes, wanted)).toBe(0);
    if (chunk.kind === "kept") expect(chunk.objectId === nameOf(wanted)).toBe(true);
  }
}

describe.each(splitters)("%s", (splitter) => {
  it("cuts any layout as the plain splitter does, and reads data only, each byte once", async () => {
    await fc.assert(
      fc.asyncProperty(segments, blockLengths, async (layout, blockBytes) => {
        const volume = volumeOfSegments(layout);
        let told = 0;
        const onRead = (count: number): void => {
          told += count;
        };
        const chunks = await chunksOf(volume, { splitter, blockBytes, onRead });
        expectWhole(chunks, volume.bytes, splitter);
        for (const { kind, length, start } of chunks)
          expect(kind).toBe(isZero(volume.bytes.subarray(start, start + length)) ? "zero" : "data");
        expect(volume.readBytes).toBe(lengthOfRanges(volume.dataRanges));
        expect(told).toBe(volume.readBytes);
      }),
      { numRuns: runs },
    );
  });

  it("makes the chunks of the whole stream from what has changed, also when the size has", async () => {
    const change = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), with: segment });
    const changes = fc.array(change, { maxLength: 4 });
    const growth = fc.oneof(fc.constant(0), fc.integer({ min: -300_000, max: 300_000 }));
    await fc.assert(
      fc.asyncProperty(
        segments,
        changes,
        growth,
        blockLengths,
        async (layout, edits, growBy, blockBytes) => {
          const before = bytesOfSegments(layout);
          const after = new Uint8Array(Math.max(0, before.length + growBy));
          after.set(before.subarray(0, after.length));
          if (after.length > before.length)
            after.set(splitmix64(growBy, after.length - before.length), before.length);
          const changed: ByteRange[] = [];
          for (const { at, with: piece } of edits) {
            const start = Math.floor(at * after.length);
            const bytes = bytesOfSegments([piece]).subarray(0, after.length - start);
            after.set(bytes, start);
            changed.push({ start, length: bytes.length });
          }
          const parts = partsOf(before, splitter);
          const volume = memoryVolume(after);
          const base = { parts, changed: mergeRanges(changed, after.length) };
          const chunks = await chunksOf(volume, { splitter, blockBytes, base });
          expectWhole(chunks, after, splitter);
          const kept = chunks.filter(({ kind }) => kind === "kept");
          expect(volume.readBytes).toBe(after.length - lengthOfRanges(kept));
          // What a chunk touches that has changed is read; so is a part on the way to the next common cut, and no other.
          for (const part of parts) {
            const end = part.start + part.length;
            if (end > after.length || (end === before.length && growBy !== 0)) continue;
            const isChanged = changed.some(
              ({ length, start }) => start < end && start + length > part.start && length > 0,
            );
            const chunk = chunks.find(({ start }) => start === part.start);
            if (chunk && !isChanged) expect(chunk.kind).toBe("kept");
          }
        },
      ),
      { numRuns: runs },
    );
  });
});

describe("every splitter", () => {
  it.each(Object.keys(splitterAlgorithms))(
    "%s cuts a hole and what lies around it",
    async (name) => {
      const { maxChunkBytes } = createSplitter(name);
      const unit = Math.min(maxChunkBytes, 4 << 20);
      const layout = [
        { kind: "random", length: 100_001, seed: 1 },
        { kind: "hole", length: 2 * unit + 12_345, seed: 0 },
        { kind: "random", length: 777, seed: 2 },
        { kind: "hole", length: unit, seed: 0 },
      ] as const;
      const volume = volumeOfSegments(layout);
      expectWhole(await chunksOf(volume, { splitter: name }), volume.bytes, name);
      expect(volume.readBytes).toBe(100_778);
    },
  );
});

describe("parts that are no chunks of the splitter", () => {
  it("are read again", async () => {
    const splitter = "DYNAMIC-128K-BUZHASH";
    const bytes = splitmix64(5, 1_000_000);
    // As of two parallel uploads: the first ends where no cut is.
    const parts = [
      partsOf(bytes.subarray(0, 20_000), splitter),
      partsOf(bytes.subarray(20_000), splitter),
    ];
    const joined = [
      ...parts[0]!,
      ...parts[1]!.map((part) => ({ ...part, start: part.start + 20_000 })),
    ];
    const volume = memoryVolume(bytes);
    const chunks = await chunksOf(volume, { splitter, base: { parts: joined, changed: [] } });
    expect(chunks[0]!.kind).toBe("data");
    expect(chunks.some(({ kind }) => kind === "kept")).toBe(true);
    for (const chunk of chunks) {
      const wanted = bytes.subarray(chunk.start, chunk.start + chunk.length);
      if (chunk.kind === "kept") expect(chunk.objectId === nameOf(wanted)).toBe(true);
    }
  });
});

describe("failures", () => {
  it("of a read end the cutting, also when they come ahead of their turn", async () => {
    const volume: Volume = {
      ...memoryVolume(splitmix64(1, 1 << 20)),
      async read(target, offset) {
        if (offset >= 300_000) throw new Error(`no medium at ${offset}`);
        target.fill(1);
      },
    };
    const cutting = chunksOf(volume, { splitter: "FIXED-128K", blockBytes: 100_000 });
    await expect(cutting).rejects.toThrow("no medium at 300000");
  });

  it("an abort ends it", async () => {
    const controller = new AbortController();
    const cutting = cutVolume(memoryVolume(splitmix64(1, 1 << 20)), {
      splitter: "FIXED-128K",
      blockBytes: 4096,
      signal: controller.signal,
    });
    await cutting.next();
    controller.abort(new Error("enough"));
    await expect(cutting.next()).rejects.toThrow("enough");
  });
});

describe("isZero", () => {
  it("finds any byte that is not, at any place of any view", () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(300), fc.nat(), (offset, length, place) => {
        const bytes = new Uint8Array(offset + length + 9).fill(1);
        const view = bytes.subarray(offset, offset + length).fill(0);
        expect(isZero(view)).toBe(true);
        if (length === 0) return;
        view[place % length] = 0x80;
        expect(isZero(view)).toBe(false);
      }),
    );
  });
});
