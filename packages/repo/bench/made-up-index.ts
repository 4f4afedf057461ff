/** Index entries by formula: random ids, 200 contents a pack, as a repository of small files has them. */
import { toHex } from "@dm/core";
import { random } from "@dm/fixtures/bench";
import { type ContentId, parseContentId } from "@dm/repo";
import type { IndexEntry } from "../src/index-blob/entry.ts";

const idBytes = 16;
const contentsPerPack = 200;

export function contentIds(count: number, seed: number): ContentId[] {
  const bytes = random({ bytes: count * idBytes, seed });
  return Array.from({ length: count }, (_, index) =>
    parseContentId(toHex(bytes.subarray(index * idBytes, (index + 1) * idBytes))),
  );
}

export function entriesOf(ids: readonly ContentId[]): IndexEntry[] {
  return ids.map((contentId, index) => ({
    contentId,
    timestampSeconds: 1_700_000_000 + (index >> 8),
    packBlobId: packOf(Math.floor(index / contentsPerPack)),
    packOffset: 32 + (index % contentsPerPack) * 100_028,
    packedLength: 100_028,
    originalLength: 100_000,
    compressionHeaderId: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
  }));
}

let lastPack = { number: -1, name: "" };

function packOf(number: number): string {
  if (lastPack.number !== number)
    lastPack = {
      number,
      name: `p${number.toString(16).padStart(32, "0")}-s0123456789abcdef147`,
    };
  return lastPack.name;
}
