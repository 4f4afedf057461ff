/**
 * Which bytes of a small repository may change without anything being lost, and why. Everything else must be detected.
 * docs/reliability.md holds the same list for readers.
 */
import { utf8Decode } from "@dm/core";
import { formatBlobId } from "../../src/format/format-blob.ts";
import { encodeFormatCopy } from "../../src/format/format-copy.ts";
import type { IndexEntry } from "../../src/index.ts";
import { decodePostamble, maxPostambleBytes } from "../../src/pack/postamble.ts";
import type { SmallRepository } from "./small-repository.ts";

export interface HarmlessRange {
  readonly start: number;
  /** Just past the last byte. */
  readonly end: number;
  readonly reason: string;
}

export async function harmlessRanges(
  small: SmallRepository,
  blobId: string,
): Promise<HarmlessRange[]> {
  const bytes = small.store.blobs.get(blobId)!;
  const unread = small.unread.get(blobId);
  if (unread) return [{ start: 0, end: bytes.length, reason: unread }];
  if (blobId === formatBlobId) return inFormatBlob(utf8Decode(bytes));
  if (/^[pq]/.test(blobId)) return inPack(small, blobId, bytes);
  const repaired = small.repository.crypter.ecc && /^(?:x[nsr]|n|m|l|s)/.test(blobId);
  return repaired ? [{ start: 0, end: bytes.length, reason: "error correction repairs it" }] : [];
}

function inFormatBlob(text: string): HarmlessRange[] {
  const start = text.indexOf('"tool"');
  const ranges = [
    { start, end: text.indexOf('"uniqueID"'), reason: "names of programs, for people" },
  ];
  for (const match of text.matchAll(/[A-Za-z0-9+/]=+"/g)) {
    const reason = "bits of the last base64 digit that stand for nothing";
    ranges.push({ start: match.index, end: match.index + 1, reason });
  }
  return ranges;
}

async function inPack(
  small: SmallRepository,
  blobId: string,
  bytes: Uint8Array,
): Promise<HarmlessRange[]> {
  const { crypter, format, openedFormat } = small.repository;
  const entries: IndexEntry[] = [];
  for await (const entry of small.repository.listContents({ includeDeleted: true }))
    if (entry.packBlobId === blobId) entries.push(entry);
  const first = Math.min(...entries.map(({ packOffset }) => packOffset));
  const last = Math.max(
    ...entries.map(({ packOffset, packedLength }) => packOffset + packedLength),
  );
  const { localIndexLength, localIndexOffset } = decodePostamble(
    bytes.subarray(-maxPostambleBytes),
  )!;
  const copyLength = format.enablePasswordChange
    ? 0
    : encodeFormatCopy(openedFormat.formatBlob).length;
  const ranges = [
    { start: 0, end: copyLength, reason: "copy of the format blob, with its own checksum" },
    { start: copyLength, end: first, reason: "random bytes at the start" },
    { start: last, end: localIndexOffset, reason: "random padding" },
  ];
  if (crypter.ecc) {
    const reason = "error correction repairs it";
    ranges.push({ start: first, end: last, reason });
    const indexEnd = localIndexOffset + localIndexLength;
    ranges.push({ start: localIndexOffset, end: indexEnd, reason });
  }
  return ranges.filter(({ end, start }) => end > start);
}
