/**
 * GetObject and HeadObject: whole objects, ranges, versions, conditions, and everything that a put told us to remember.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import type { Bucket, ObjectVersion } from "./buckets.ts";
import { checksumHeader } from "./checksums.ts";
import { checkReadConditions } from "./conditions.ts";
import { lockHeaders } from "./object-lock.ts";
import { refuse } from "./refusal.ts";
import { bucketOf, headersOf, type S3Handler, type S3Request } from "./request.ts";
import { versionHeaders, versionOf } from "./versions.ts";

/** A range in the bytes of an object; `end` is behind the last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The range of a `Range` header. Undefined: everything, because there is none or it is no single range of bytes, which S3
 * ignores; "unsatisfiable": it lies behind the end.
 */
export function parseRange(
  header: string | undefined,
  length: number,
): ByteRange | "unsatisfiable" | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  if (first === "") {
    const count = Math.min(Number(last), length);
    return count === 0 ? "unsatisfiable" : { start: length - count, end: length };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= length) return "unsatisfiable";
  return { start, end: last === "" ? length : Math.min(Number(last) + 1, length) };
}

/** Query parameters with which a presigned URL sets headers of the answer. */
const overrides = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];

function describe(
  request: S3Request,
  bucket: Bucket,
  version: ObjectVersion,
): Record<string, string> {
  const headers: Record<string, string> = {
    etag: `"${version.etag}"`,
    "last-modified": new Date(version.modifiedMs).toUTCString(),
    "accept-ranges": "bytes",
    ...version.headers,
    ...versionHeaders(bucket.settings, version),
    ...lockHeaders(version),
    ...headersOf({
      "x-amz-storage-class": version.storageClass === "STANDARD" ? undefined : version.storageClass,
    }),
  };
  for (const name of overrides) {
    const value = request.query.get(`response-${name}`);
    if (value === undefined) continue;
    if (!/^[\x20-\x7e]*$/.test(value))
      throw refuse("InvalidArgument", `response-${name} is no header.`);
    headers[name] = value;
  }
  return headers;
}

function checksumHeaders(request: S3Request, { checksum }: ObjectVersion): Record<string, string> {
  if (!checksum || request.headers.get("x-amz-checksum-mode")?.toUpperCase() !== "ENABLED")
    return {};
  return {
    [checksumHeader(checksum.algorithm)]: checksum.value,
    "x-amz-checksum-type": checksum.type,
  };
}

export const getObject: S3Handler = async (request, state) => {
  const bucket = bucketOf(request, state);
  const version = versionOf(bucket, request);
  const headers = describe(request, bucket, version);
  if (checkReadConditions(request.headers, version)) return { status: 304, headers };
  const range = parseRange(request.headers.get("range"), version.length);
  if (range === "unsatisfiable") {
    throw refuse("InvalidRange", {
      elements: { ActualObjectSize: String(version.length) },
      headers: { "content-range": `bytes */${version.length}` },
    });
  }
  const { start, end } = range ?? { start: 0, end: version.length };
  // A head promises the length and brings no bytes; the server fills in the length of a body otherwise.
  const about =
    range === undefined
      ? checksumHeaders(request, version)
      : { "content-range": `bytes ${start}-${end - 1}/${version.length}` };
  const answer = { status: range === undefined ? 200 : 206, headers: { ...headers, ...about } };
  if (request.operation === "HeadObject") {
    return { ...answer, headers: { ...answer.headers, "content-length": String(end - start) } };
  }
  return { ...answer, body: await state.payloads.read(version.payloadId, start, end) };
};
