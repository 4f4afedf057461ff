/**
 * Requests under a condition: `If-Match` and its relatives, for reads and for puts. Those of puts are checked in the same
 * step in which the put happens, so that of many that race under `If-None-Match: *` one wins.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import type { ObjectVersion } from "./buckets.ts";
import { refuse } from "./refusal.ts";

type Headers = ReadonlyMap<string, string>;

const unquoted = (tag: string): string => tag.trim().replace(/^W\//, "").replace(/^"|"$/g, "");

const matches = (header: string, etag: string): boolean =>
  header.split(",").some((tag) => tag.trim() === "*" || unquoted(tag) === etag);

const seconds = (header: string): number | undefined => {
  const ms = Date.parse(header);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
};

/** Refuses a read whose condition does not hold; true when the answer is "not modified". */
export function checkReadConditions(headers: Headers, version: ObjectVersion): boolean {
  const modified = Math.floor(version.modifiedMs / 1000);
  const ifMatch = headers.get("if-match");
  const unmodifiedSince = seconds(headers.get("if-unmodified-since") ?? "");
  const failed = (condition: string): Error =>
    refuse("PreconditionFailed", { elements: { Condition: condition } });
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, version.etag)) throw failed("If-Match");
  } else if (unmodifiedSince !== undefined && modified > unmodifiedSince)
    throw failed("If-Unmodified-Since");
  const ifNoneMatch = headers.get("if-none-match");
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, version.etag);
  const modifiedSince = seconds(headers.get("if-modified-since") ?? "");
  return modifiedSince !== undefined && modified <= modifiedSince;
}

/** Refuses a put whose condition does not hold for what is there now. */
export function checkPutConditions(
  headers: Headers,
  key: string,
  current: ObjectVersion | undefined,
): void {
  const ifNoneMatch = headers.get("if-none-match");
  const ifMatch = headers.get("if-match");
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== "*" || ifMatch !== undefined) throw refuse("NotImplemented");
    if (current) throw refuse("PreconditionFailed", { elements: { Condition: "If-None-Match" } });
  }
  if (ifMatch === undefined) return;
  if (current === undefined) throw refuse("NoSuchKey", { elements: { Key: key } });
  if (!matches(ifMatch, current.etag))
    throw refuse("PreconditionFailed", { elements: { Condition: "If-Match" } });
}
