// Every bit of every blob of a small repository is flipped: the damage is detected and the blob named, or everything is
// still read as it was written. What may be harmless is listed by position in test/robustness/harmless.ts. Beside that
// blobs are cut at every length and damaged at random. A seeded sample here, all of it with DM_FULL=1.
import { isDmError } from "@dm/core";
import { type MemoryStore, memoryStore } from "@dm/storage";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HarmlessRange, harmlessRanges } from "./robustness/harmless.ts";
import { isFull, randomFor, seed } from "./robustness/seeded.ts";
import {
  type Examination,
  examine,
  examineBlob,
  type SmallRepository,
  smallRepository,
} from "./robustness/small-repository.ts";

const repositories = [
  { name: "format 1", settings: { version: 1 } },
  { name: "format 3", settings: { version: 3 } },
  { name: "format 3 with error correction", settings: { version: 3, eccOverheadPercent: 2 } },
] as const;

const counted = isFull
  ? { examinations: 3000, damages: 3000 }
  : { examinations: 150, damages: 150 };
/** The sample flips one bit of each byte, and cuts at one of so many lengths. */
const sampledBits = 8;
const sampledLengths = 32;

describe.each(repositories)("$name", ({ name, settings }) => {
  let small: SmallRepository;
  const ranges = new Map<string, HarmlessRange[]>();
  const counts = { flips: 0, detected: 0, truncations: 0, damages: 0, seconds: 0 };
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
        `${counts.truncations} truncations, ${counts.damages} random damages. Flipping took ${counts.seconds} s (DM_SEED=${seed})`,
    );
  });

  const ids = (): string[] => [...small.store.blobs.keys()];

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

  it("a sample of flipped bits, each with everything read", { timeout: 600_000 }, async () => {
    for (let round = 0; round < counted.examinations; round += 1) {
      const blobId = random.pick(ids());
      const bit = random.integer(small.store.blobs.get(blobId)!.length * 8);
      const examination = await examine(small, damaged(blobId, flipped(blobId, bit)));
      note(blobId, bit, judge(examination, blobId, `flipped bit ${bit}`));
    }
  });

  it("every bit, with everything read that it can influence", { timeout: 600_000 }, async () => {
    const started = performance.now();
    for (const blobId of ids()) {
      const bits = small.store.blobs.get(blobId)!.length * 8;
      for (let first = 0; first < bits; first += isFull ? 1 : sampledBits) {
        const bit = isFull ? first : first + random.integer(sampledBits);
        const examination = await examineBlob(small, blobId, flipped(blobId, bit));
        note(blobId, bit, judge(examination, blobId, `flipped bit ${bit}`));
      }
    }
    counts.seconds = Math.round((performance.now() - started) / 1000);
  });

  it("a blob cut at any length", { timeout: 600_000 }, async () => {
    for (const blobId of ids()) {
      const bytes = small.store.blobs.get(blobId)!;
      for (let first = 0; first < bytes.length; first += isFull ? 1 : sampledLengths) {
        const length = Math.min(
          bytes.length - 1,
          isFull ? first : first + random.integer(sampledLengths),
        );
        const examination = await examineBlob(small, blobId, bytes.slice(0, length));
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
    }
  });

  it("a blob damaged at random", { timeout: 600_000 }, async () => {
    for (let round = 0; round < counted.damages; round += 1) {
      const blobId = random.pick(ids());
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
