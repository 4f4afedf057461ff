// Every bit of every blob of a small repository is flipped: the damage is detected and the blob named, or everything is
// still read as it was written. What may be harmless is listed by position in test/robustness/harmless.ts. Beside that
// blobs are cut at every length and damaged at random. A seeded sample here, all of it with DM_FULL=1.
import { isDmError } from "@dm/core";
import { type MemoryStore, memoryStore } from "@dm/storage";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPackIndex } from "../src/pack/pack-index.ts";
import { type HarmlessRange, harmlessRanges } from "./robustness/harmless.ts";
import { isFull, randomFor, seed } from "./robustness/seeded.ts";
import {
  type Examination,
  examine,
  type SmallRepository,
  smallRepository,
} from "./robustness/small-repository.ts";

const repositories = [
  { name: "format 1", settings: { version: 1 } },
  { name: "format 3", settings: { version: 3 } },
  { name: "format 3 with error correction", settings: { version: 3, eccOverheadPercent: 2 } },
] as const;

const sample = { examinations: 250, truncations: 150, damages: 150 };
const randomDamages = 3000;

describe.each(repositories)("$name", ({ name, settings }) => {
  let small: SmallRepository;
  const ranges = new Map<string, HarmlessRange[]>();
  const counts = { flips: 0, detected: 0, truncations: 0, damages: 0 };
  const harmless = new Map<string, number>();
  const random = randomFor(name);

  beforeAll(async () => {
    small = await smallRepository(settings);
    for (const blobId of small.store.blobs.keys())
      ranges.set(blobId, await harmlessRanges(small, blobId));
  });

  afterAll(() => {
    const reasons = [...harmless].map(([reason, count]) => `${count} ${reason}`);
    console.log(
      `${name}: ${counts.flips} bits flipped, ${counts.detected} detected, harmless: ${reasons.join("; ")}. ` +
        `${counts.truncations} truncations, ${counts.damages} random damages (DM_SEED=${seed})`,
    );
  });

  /** The same blobs with one replaced. */
  function damaged(blobId: string, bytes: Uint8Array): MemoryStore {
    const { clock, store } = small;
    return memoryStore({ clock, blobs: new Map(store.blobs).set(blobId, bytes) });
  }

  function flipped(blobId: string, bit: number): Uint8Array {
    const bytes = small.store.blobs.get(blobId)!.slice();
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    return bytes;
  }

  /** Nothing wrong was read, every complaint is one of ours, and the blob is named; answers whether it was noticed. */
  function judge({ complaints, wrong }: Examination, blobId: string, what: string): boolean {
    const where = `${what} of ${blobId} (DM_SEED=${seed})`;
    expect(wrong, where).toEqual([]);
    let isNamed = false;
    for (const complaint of complaints) {
      if (isDmError(complaint)) {
        isNamed ||= complaint.details["blobId"] === blobId || complaint.message.includes(blobId);
      } else if (complaint instanceof Error) {
        throw new Error(`${where}: an error that is not ours`, { cause: complaint });
      } else isNamed ||= JSON.stringify(complaint).includes(blobId);
    }
    if (complaints.length > 0 && !isNamed)
      throw new Error(`${where}: the blob is not named`, { cause: complaints[0] });
    return complaints.length > 0;
  }

  function note(blobId: string, bit: number, isDetected: boolean): void {
    counts.flips += 1;
    if (isDetected) {
      counts.detected += 1;
      return;
    }
    const range = ranges
      .get(blobId)!
      .find(({ start, end }) => bit >>> 3 >= start && bit >>> 3 < end);
    if (!range) throw new Error(`bit ${bit} of ${blobId} was flipped, and nobody noticed`);
    harmless.set(range.reason, (harmless.get(range.reason) ?? 0) + 1);
  }

  /** What can read a pack: its contents one by one, and its local index. */
  async function examinePack(blobId: string): Promise<Examination> {
    const { repository, store, truth } = small;
    const complaints: unknown[] = [];
    const wrong: string[] = [];
    const index = repository.contentReader.index.current!;
    for (const [contentId, expected] of truth.contents) {
      const entry = index.find(contentId as never)!;
      if (entry.packBlobId !== blobId) continue;
      try {
        const bytes = await repository.contentReader.readEntry(entry);
        if (Buffer.from(bytes).toString("hex") !== expected) wrong.push(contentId);
      } catch (error) {
        complaints.push(error);
      }
    }
    try {
      await readPackIndex(store, repository.crypter, blobId);
    } catch (error) {
      complaints.push(error);
    }
    return { complaints, wrong };
  }

  it("every byte has a bit flipped; a sample of whole examinations", {
    timeout: 600_000,
  }, async () => {
    const positions: Array<[blobId: string, bit: number]> = [];
    for (const [blobId, bytes] of small.store.blobs) {
      for (let byte = 0; byte < bytes.length; byte += 1)
        positions.push([blobId, byte * 8 + random.integer(8)]);
    }
    const chosen = isFull
      ? positions
      : Array.from({ length: sample.examinations }, () => random.pick(positions));
    for (const [blobId, bit] of chosen) {
      const examination = await examine(small, damaged(blobId, flipped(blobId, bit)));
      note(blobId, bit, judge(examination, blobId, `flipped bit ${bit}`));
    }
  });

  it("every bit of the packs", { timeout: 600_000 }, async () => {
    for (const [blobId, bytes] of small.store.blobs) {
      if (!/^[pq]/.test(blobId) || small.unread.has(blobId)) continue;
      for (let bit = 0; bit < bytes.length * 8; bit += isFull ? 1 : 8) {
        const at = isFull ? bit : bit + random.integer(8);
        bytes[at >>> 3]! ^= 1 << (at & 7);
        const examination = await examinePack(blobId);
        bytes[at >>> 3]! ^= 1 << (at & 7);
        note(blobId, at, judge(examination, blobId, `flipped bit ${at}`));
      }
    }
  });

  it("every bit of the other blobs", { timeout: 600_000 }, async () => {
    for (const [blobId, bytes] of small.store.blobs) {
      if (/^[pq]/.test(blobId) && !small.unread.has(blobId)) continue;
      for (let bit = 0; bit < bytes.length * 8; bit += isFull ? 1 : 8 * 8) {
        const at = isFull ? bit : Math.min(bytes.length * 8 - 1, bit + random.integer(64));
        const examination = await examine(small, damaged(blobId, flipped(blobId, at)));
        note(blobId, at, judge(examination, blobId, `flipped bit ${at}`));
      }
    }
  });

  it("a blob cut at any length", { timeout: 600_000 }, async () => {
    const cuts: Array<[blobId: string, length: number]> = [];
    for (const [blobId, bytes] of small.store.blobs)
      for (let length = 0; length < bytes.length; length += 1) cuts.push([blobId, length]);
    const chosen = isFull
      ? cuts
      : Array.from({ length: sample.truncations }, () => random.pick(cuts));
    for (const [blobId, length] of chosen) {
      const bytes = small.store.blobs.get(blobId)!;
      const examination = await examine(small, damaged(blobId, bytes.slice(0, length)));
      const isDetected = judge(examination, blobId, `the first ${length} bytes`);
      const mayMiss =
        small.unread.has(blobId) ||
        // Error correction makes up for a few bytes at the end, too.
        ("eccOverheadPercent" in settings && bytes.length - length < 8) ||
        // Only the final newline is missing.
        (blobId === "kopia.repository" && length === bytes.length - 1);
      if (!mayMiss) expect(isDetected, `${blobId} cut to ${length} bytes`).toBe(true);
      counts.truncations += 1;
    }
  });

  it("a blob damaged at random", { timeout: 600_000 }, async () => {
    const ids = [...small.store.blobs.keys()];
    const rounds = isFull ? randomDamages : sample.damages;
    for (let round = 0; round < rounds; round += 1) {
      const blobId = random.pick(ids);
      const bytes = small.store.blobs.get(blobId)!;
      const start = random.integer(bytes.length);
      const removed = random.integer(Math.min(64, bytes.length - start + 1));
      const added = random.bytes(random.pick([removed, removed, random.integer(64)]));
      const changed = Buffer.concat([
        bytes.subarray(0, start),
        added,
        bytes.subarray(start + removed),
      ]);
      const what = `${removed} bytes at ${start} replaced by ${added.length}`;
      judge(await examine(small, damaged(blobId, new Uint8Array(changed))), blobId, what);
      counts.damages += 1;
    }
  });
});
