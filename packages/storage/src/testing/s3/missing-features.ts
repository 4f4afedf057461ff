/**
 * Servers that understand less than Amazon's: what they have not, they refuse with `NotImplemented`.
 * Proof: test/testing-s3-server.test.ts.
 * @module
 */
import type { S3Operation } from "./operation.ts";
import { refuse } from "./refusal.ts";

/**
 * `checksums`: `x-amz-checksum-…`, trailers and unsigned streams; `conditions`: `If-Match` and `If-None-Match` on puts;
 * `batchDelete`: DeleteObjects; `versions`: everything about versions and locks; `listV2`: ListObjectsV2.
 */
export type S3Feature = "checksums" | "conditions" | "batchDelete" | "versions" | "listV2";

const operationsOf: Readonly<Partial<Record<S3Operation, S3Feature>>> = {
  DeleteObjects: "batchDelete",
  ListObjectsV2: "listV2",
  GetBucketVersioning: "versions",
  PutBucketVersioning: "versions",
  ListObjectVersions: "versions",
  GetObjectLockConfiguration: "versions",
  PutObjectLockConfiguration: "versions",
  GetObjectRetention: "versions",
  PutObjectRetention: "versions",
  GetObjectLegalHold: "versions",
  PutObjectLegalHold: "versions",
};

const isChecksumHeader = (name: string, value: string): boolean =>
  name === "x-amz-trailer" ||
  name === "x-amz-sdk-checksum-algorithm" ||
  (name.startsWith("x-amz-checksum-") && name !== "x-amz-checksum-mode") ||
  (name === "x-amz-content-sha256" && value.endsWith("-TRAILER"));

/** Refuses a request that needs what the server has not. */
export function checkFeatures(
  missing: readonly S3Feature[],
  operation: S3Operation,
  headers: ReadonlyMap<string, string>,
): void {
  if (missing.length === 0) return;
  const needed = new Set<S3Feature>();
  const byOperation = operationsOf[operation];
  if (byOperation) needed.add(byOperation);
  const isPut = operation === "PutObject" || operation === "CompleteMultipartUpload";
  for (const [name, value] of headers) {
    if (isChecksumHeader(name, value)) needed.add("checksums");
    if (isPut && (name === "if-match" || name === "if-none-match")) needed.add("conditions");
    if (name.startsWith("x-amz-object-lock-")) needed.add("versions");
  }
  for (const feature of missing)
    if (needed.has(feature))
      throw refuse(
        "NotImplemented",
        `A header you provided implies functionality that is not implemented: ${feature}.`,
      );
}
