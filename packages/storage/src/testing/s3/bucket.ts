/**
 * The operations on buckets themselves: create, delete, head, location, versioning, and the list of all.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import type { BucketSettings } from "./buckets.ts";
import { isoTime } from "./object-lock.ts";
import { refuse } from "./refusal.ts";
import { bucketOf, type S3Handler } from "./request.ts";
import { checkChildren, childText, parseXml, tag, xmlDocument } from "./xml.ts";

/** Whether Amazon would take this as the name of a bucket. */
export function isBucketName(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !name.includes("..") &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name)
  );
}

export const listBuckets: S3Handler = async (request, state) => {
  const buckets = state.buckets
    .all()
    .map(({ settings }) =>
      tag(
        "Bucket",
        tag("Name", settings.name),
        tag("CreationDate", isoTime(settings.createdMs)),
        tag("BucketRegion", settings.region),
      ),
    );
  const owner = tag("Owner", tag("ID", "test"), tag("DisplayName", "test"));
  const { query } = request;
  if (query.has("continuation-token")) throw refuse("NotImplemented");
  return {
    status: 200,
    body: xmlDocument("ListAllMyBucketsResult", owner, tag("Buckets", ...buckets)),
  };
};

export const createBucket: S3Handler = async (request, state) => {
  const { bucketName: name, headers } = request;
  if (!isBucketName(name)) throw refuse("InvalidBucketName", { elements: { BucketName: name } });
  const { bytes } = await request.receive("xml");
  let region = state.region;
  if (bytes.length > 0) {
    const root = parseXml(bytes, "CreateBucketConfiguration");
    checkChildren(root, "LocationConstraint", "Location", "Bucket", "Tags");
    region = childText(root, "LocationConstraint") || region;
  }
  if (region !== state.region) {
    throw refuse("InvalidLocationConstraint", {
      elements: { LocationConstraint: region },
    });
  }
  if (state.buckets.find(name)) throw refuse("BucketAlreadyOwnedByYou");
  const objectLock = headers.get("x-amz-bucket-object-lock-enabled")?.toLowerCase() === "true";
  const settings: BucketSettings = {
    name,
    region,
    createdMs: Math.floor(request.nowMs / 1000) * 1000,
    objectLock,
    versioning: objectLock ? "Enabled" : undefined,
  };
  state.buckets.commit({ do: "setBucket", settings });
  return { status: 200, headers: { location: `/${name}` } };
};

export const deleteBucket: S3Handler = async (request, state) => {
  const bucket = bucketOf(request, state);
  if (bucket.keys.length > 0) throw refuse("BucketNotEmpty");
  state.buckets.commit({ do: "dropBucket", name: request.bucketName });
  state.uploads.dropBucket(request.bucketName);
  return { status: 204 };
};

export const headBucket: S3Handler = async (request, state) => {
  const { region } = bucketOf(request, state).settings;
  return { status: 200, headers: { "x-amz-bucket-region": region } };
};

export const getBucketLocation: S3Handler = async (request, state) => {
  const { region } = bucketOf(request, state).settings;
  // The oldest region has no name here.
  const text = region === "us-east-1" ? "" : region;
  const document = xmlDocument("LocationConstraint", { xml: tag("_", text).xml.slice(3, -4) });
  return { status: 200, body: document };
};

export const getBucketVersioning: S3Handler = async (request, state) => {
  const { versioning } = bucketOf(request, state).settings;
  const status = versioning === undefined ? undefined : tag("Status", versioning);
  return { status: 200, body: xmlDocument("VersioningConfiguration", status) };
};

export const putBucketVersioning: S3Handler = async (request, state) => {
  const { bytes } = await request.receive("xml");
  const root = parseXml(bytes, "VersioningConfiguration");
  checkChildren(root, "Status", "MfaDelete");
  const versioning = childText(root, "Status");
  if (versioning !== "Enabled" && versioning !== "Suspended") throw refuse("MalformedXML");
  const { settings } = bucketOf(request, state);
  if (settings.objectLock && versioning === "Suspended") {
    throw refuse(
      "InvalidBucketState",
      "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
    );
  }
  state.buckets.commit({ do: "setBucket", settings: { ...settings, versioning } });
  return { status: 200 };
};
