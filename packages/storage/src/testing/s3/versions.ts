/**
 * Which version of an object a request means, and the ids of new ones.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import type { Bucket, BucketSettings, ObjectVersion } from "./buckets.ts";
import { refuse } from "./refusal.ts";
import type { S3Request } from "./request.ts";

/** The id of the next version in this bucket. */
export const nextVersionId = ({ versioning }: BucketSettings): string =>
  versioning === "Enabled" ? randomBytes(16).toString("hex") : "null";

/** The `versionId` that a request names; undefined when it means the current version. */
export function versionIdOf({ query }: S3Request): string | undefined {
  const id = query.get("versionId");
  if (id !== undefined && id !== "null" && !/^[0-9A-Za-z._-]{1,64}$/.test(id))
    throw refuse("InvalidArgument", "Invalid version id specified");
  return id;
}

/** The version that a request names, or the current one; delete markers are refused. */
export function versionOf(bucket: Bucket, request: S3Request): ObjectVersion {
  return findVersion(bucket, request, request.key, versionIdOf(request));
}

/** As {@link versionOf}, for a key and version that stand elsewhere than in the target. */
export function findVersion(
  bucket: Bucket,
  request: S3Request,
  key: string,
  versionId: string | undefined,
): ObjectVersion {
  const versions = bucket.versions(key);
  const version =
    versionId === undefined ? versions[0] : versions.find((other) => other.versionId === versionId);
  if (version !== undefined && !version.deleteMarker) return version;
  // Whoever may not list must not learn what is there.
  if (!request.permits("list", key, bucket.settings.name)) throw refuse("AccessDenied");
  if (version === undefined) {
    if (versionId === undefined) throw refuse("NoSuchKey", { elements: { Key: key } });
    throw refuse("NoSuchVersion", { elements: { Key: key, VersionId: versionId } });
  }
  const headers = {
    "x-amz-delete-marker": "true",
    "x-amz-version-id": version.versionId,
    "last-modified": new Date(version.modifiedMs).toUTCString(),
  };
  if (versionId === undefined) throw refuse("NoSuchKey", { elements: { Key: key }, headers });
  throw refuse("MethodNotAllowed", { headers });
}

/** The header that names a version, in buckets that have or had versions. */
export function versionHeaders(
  settings: BucketSettings,
  { versionId }: ObjectVersion,
): Record<string, string> {
  return settings.versioning === undefined ? {} : { "x-amz-version-id": versionId };
}
