/**
 * Manifest contents: gzip of `{"entries":[{"id","labels","modified","deleted"?,"data"}]}` and a newline.
 * Payloads are kept as raw JSON text, so a manifest of a kind unknown here is stored again exactly as it was.
 * Format: docs/format/manifests.md. Proof: test/manifest.test.ts.
 * @module
 */
import { compress, compressors, decompress } from "@dm/compression";
import { concatBytes, FormatError, utf8DecodeStrict, utf8Encode } from "@dm/core";
import { formatTime, goJsonString, goJsonStringMap, parseTime } from "../json/go-json.ts";
import { parseJson, rawElements, rawMembers } from "../json/raw-json.ts";

/** A labelled JSON document. */
export interface ManifestEntry {
  /** 32 hexadecimal characters, random. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly modifiedAtNs: bigint;
  /** A tombstone: `labels` and `data` are empty. */
  readonly deleted: boolean;
  /** Raw JSON text. */
  readonly data: string;
}

/** Longest decompressed manifest content: about 100,000 snapshots in one. */
const maxManifestBytes = 256 << 20;

const gzipHeader = Uint8Array.of(0, 0, 0x10, 0x00);

export function encodeManifests(entries: readonly ManifestEntry[]): Uint8Array {
  const list = entries.map(({ id, labels, modifiedAtNs, deleted, data }) => {
    const head = `{"id":${goJsonString(id)},"labels":${goJsonStringMap(deleted ? undefined : labels)}`;
    const tail = deleted ? `,"deleted":true,"data":null}` : `,"data":${data}}`;
    return `${head},"modified":"${formatTime(modifiedAtNs)}"${tail}`;
  });
  const json = utf8Encode(`{"entries":[${list.join(",")}]}\n`);
  // Manifests are plain gzip; `compress` puts a content's four header bytes in front.
  return compress("gzip", json).subarray(gzipHeader.length);
}

/** @throws {FormatError} `DM_MANIFEST_INVALID` naming the content */
export function decodeManifests(bytes: Uint8Array, contentId: string): ManifestEntry[] {
  try {
    const json = decompress(concatBytes(gzipHeader, bytes), {
      maxBytes: maxManifestBytes,
      headerId: compressors.gzip.headerId,
    });
    const members = rawMembers(utf8DecodeStrict(json));
    const entries = members.find(([key]) => key.toLowerCase() === "entries");
    return entries ? rawElements(entries[1]).map(decodeEntry) : [];
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(
      "DM_MANIFEST_INVALID",
      `manifest content ${contentId}: ${why}`,
      { contentId },
      { cause },
    );
  }
}

function decodeEntry(raw: string): ManifestEntry {
  const members = new Map(rawMembers(raw).map(([key, value]) => [key.toLowerCase(), value]));
  const id = parseMember(members, "id");
  const modified = parseMember(members, "modified");
  const labels = parseMember(members, "labels") ?? {};
  if (typeof id !== "string" || id === "")
    throw new FormatError("DM_MANIFEST_INVALID", "entry without id");
  if (typeof modified !== "string")
    throw new FormatError("DM_MANIFEST_INVALID", `entry ${id} without time`);
  if (
    typeof labels !== "object" ||
    !Object.values(labels as object).every((value) => typeof value === "string")
  ) {
    throw new FormatError("DM_MANIFEST_INVALID", `entry ${id} has malformed labels`);
  }
  return {
    id,
    labels: labels as Record<string, string>,
    modifiedAtNs: parseTime(modified),
    deleted: parseMember(members, "deleted") === true,
    data: members.get("data") ?? "null",
  };
}

function parseMember(members: ReadonlyMap<string, string>, key: string): unknown {
  const raw = members.get(key);
  return raw === undefined ? undefined : parseJson(raw);
}
