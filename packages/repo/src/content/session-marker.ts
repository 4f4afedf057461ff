/**
 * Session ids and session markers: a marker protects the packs of an unfinished session from orphan clean-up.
 * Format: docs/format/packs.md. Proof: test/write-session.test.ts.
 * @module
 */
import {
  FormatError,
  isDmError,
  type RandomBytes,
  toHex,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import * as z from "zod";
import { parseChecked } from "../json/checked-json.ts";
import { formatTime, goJsonString, parseTime } from "../json/go-json.ts";

export interface SessionMarker {
  readonly id: string;
  readonly startedAtNs: bigint;
  readonly checkpointAtNs: bigint;
  readonly username: string;
  readonly hostname: string;
}

const epochOfPeriodsMs = Date.UTC(2000, 0, 1);
const periodMs = 30 * 24 * 3_600_000;

/** `s`, 16 random hexadecimal digits, and the number of the 30-day period since 2000 in hexadecimal. */
export function newSessionId(randomBytes: RandomBytes, nowNs: bigint): string {
  const period = Math.floor((Number(nowNs / 1_000_000n) - epochOfPeriodsMs) / periodMs);
  return `s${toHex(randomBytes(8))}${period.toString(16)}`;
}

/** The session id at the end of a pack's name; undefined for names without one. */
export function sessionIdOfPack(packBlobId: string): string | undefined {
  const dash = packBlobId.indexOf("-");
  return dash < 0 ? undefined : packBlobId.slice(dash + 1);
}

export function encodeSessionMarker(marker: SessionMarker): Uint8Array {
  return utf8Encode(
    `{"id":${goJsonString(marker.id)},"startTime":"${formatTime(marker.startedAtNs)}","checkpointTime":"${formatTime(
      marker.checkpointAtNs,
    )}","username":${goJsonString(marker.username)},"hostname":${goJsonString(marker.hostname)}}`,
  );
}

const schema = z.looseObject({
  id: z.string(),
  startTime: z.string(),
  checkpointTime: z.string(),
  username: z.string().nullish(),
  hostname: z.string().nullish(),
});

/** @throws {FormatError} `DM_SESSION_MARKER_INVALID` naming the blob */
export function decodeSessionMarker(bytes: Uint8Array, blobId: string): SessionMarker {
  try {
    const data = parseChecked(schema, utf8DecodeStrict(bytes));
    return {
      id: data.id,
      startedAtNs: parseTime(data.startTime),
      checkpointAtNs: parseTime(data.checkpointTime),
      username: data.username ?? "",
      hostname: data.hostname ?? "",
    };
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw new FormatError(
      "DM_SESSION_MARKER_INVALID",
      `blob ${blobId} is not a session marker: ${cause.message}`,
      { blobId },
      { cause },
    );
  }
}

const markerName = /^s[0-9a-f]{32,64}-s[0-9a-f]+$/;

/** Other programs may keep blobs of their own in the store whose names begin alike. */
export function isSessionMarkerBlobId(blobId: string): boolean {
  return markerName.test(blobId);
}
