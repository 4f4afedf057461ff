/**
 * PutObject, CopyObject, DeleteObject and DeleteObjects.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import type { ReceivedBody } from "./body.ts";
import type { Bucket, ObjectVersion, StoredChecksum } from "./buckets.ts";
import { checksumHeader } from "./checksums.ts";
import { checkPutConditions, checkReadConditions } from "./conditions.ts";
import { bypasses, checkRemovable, isoTime, lockOfPut } from "./object-lock.ts";
import { refuse, S3Refusal } from "./refusal.ts";
import {
  bucketOf,
  headersOf,
  type S3Answer,
  type S3Handler,
  type S3Request,
  type S3State,
} from "./request.ts";
import { parseTarget } from "./uri.ts";
import { findVersion, nextVersionId, versionHeaders, versionIdOf } from "./versions.ts";
import { checkChildren, childText, parseXml, tag, type Xml, xmlDocument } from "./xml.ts";

const storageClasses: readonly string[] = [
  "STANDARD",
  "REDUCED_REDUNDANCY",
  "STANDARD_IA",
  "ONEZONE_IA",
  "INTELLIGENT_TIERING",
  "GLACIER",
  "GLACIER_IR",
  "DEEP_ARCHIVE",
  "EXPRESS_ONEZONE",
];

const maxKeyBytes = 1024;
const maxMetadataBytes = 2048;

/** Headers of a put that a get gives back. */
const rememberedHeaders = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];

/** What the headers of a put say of the object. */
export function describePut({ headers, key }: S3Request): {
  readonly storageClass: string;
  readonly headers: Record<string, string>;
} {
  if (Buffer.byteLength(key) > maxKeyBytes) throw refuse("KeyTooLongError");
  const storageClass = headers.get("x-amz-storage-class") ?? "STANDARD";
  if (!storageClasses.includes(storageClass)) throw refuse("InvalidStorageClass");
  const kept: Record<string, string> = { "content-type": "binary/octet-stream" };
  let metadataBytes = 0;
  for (const [name, value] of headers) {
    if (name.startsWith("x-amz-meta-")) {
      metadataBytes += name.length - "x-amz-meta-".length + Buffer.byteLength(value);
      kept[name] = value;
    } else if (rememberedHeaders.includes(name)) kept[name] = value;
  }
  if (metadataBytes > maxMetadataBytes)
    throw refuse("InvalidRequest", "Your metadata headers exceed the maximum allowed size.");
  // The framing of the request is no encoding of the object.
  const encoding = (kept["content-encoding"] ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "" && part !== "aws-chunked")
    .join(",");
  delete kept["content-encoding"];
  return { storageClass, headers: encoding ? { ...kept, "content-encoding": encoding } : kept };
}

export interface NewObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly storageClass: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum: StoredChecksum | undefined;
  readonly partCount?: number | undefined;
  readonly retention?: ObjectVersion["retention"];
  readonly legalHold?: boolean | undefined;
}

/** Stores an object if the conditions of the request still hold; between that check and the change lies nothing. */
export async function storeObject(
  request: S3Request,
  state: S3State,
  object: NewObject,
): Promise<{ readonly bucket: Bucket; readonly version: ObjectVersion }> {
  const { bytes, ...described } = object;
  const payloadId = await state.payloads.save(bytes);
  try {
    const bucket = bucketOf(request, state);
    checkPutConditions(request.headers, request.key, bucket.current(request.key));
    const version: ObjectVersion = {
      ...described,
      key: request.key,
      versionId: nextVersionId(bucket.settings),
      deleteMarker: false,
      modifiedMs: wholeSeconds(request.nowMs),
      length: bytes.length,
      payloadId,
    };
    state.buckets.commit({
      do: "put",
      bucket: request.bucketName,
      version,
      atMs: request.nowMs,
    });
    return { bucket, version };
  } catch (error) {
    state.payloads.drop(payloadId);
    throw error;
  }
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

const fullChecksum = ({ checksum }: ReceivedBody): StoredChecksum | undefined =>
  checksum && { ...checksum, type: "FULL_OBJECT" };

export const putObject: S3Handler = async (request, state) => {
  const { settings } = bucketOf(request, state);
  const described = describePut(request);
  const lock = lockOfPut(request, settings);
  // A condition that fails already need not wait for the bytes, but they are read all the same.
  const body = await request.receive("object");
  if (lock.retention && !body.verified) {
    throw refuse(
      "InvalidRequest",
      "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
    );
  }
  const checksum = fullChecksum(body);
  const etag = Buffer.from(body.md5).toString("hex");
  const { bucket, version } = await storeObject(request, state, {
    bytes: body.bytes,
    etag,
    ...described,
    ...lock,
    checksum,
  });
  const headers = {
    etag: `"${etag}"`,
    ...versionHeaders(bucket.settings, version),
    ...(checksum && {
      [checksumHeader(checksum.algorithm)]: checksum.value,
      "x-amz-checksum-type": checksum.type,
    }),
  };
  return { status: 200, headers };
};

export const copyObject: S3Handler = async (request, state) => {
  const { headers, permits } = request;
  const source = headers.get("x-amz-copy-source") ?? "";
  const from = parseTarget(source.startsWith("/") ? source : `/${source}`, "");
  if (from.bucket === "" || from.key === "")
    throw refuse("InvalidArgument", "Copy Source must mention the source bucket and key");
  if (!permits("read", from.key, from.bucket)) throw refuse("AccessDenied");
  const { settings } = bucketOf(request, state);
  const lock = lockOfPut(request, settings);
  const original = findVersion(
    state.buckets.get(from.bucket),
    request,
    from.key,
    from.query.get("versionId"),
  );
  const conditions = new Map(
    [...headers]
      .filter(([name]) => name.startsWith("x-amz-copy-source-if-"))
      .map(([name, value]) => [name.slice("x-amz-copy-source-".length), value]),
  );
  if (checkReadConditions(conditions, original)) throw refuse("PreconditionFailed");
  const replace = headers.get("x-amz-metadata-directive") === "REPLACE";
  const described = describePut(request);
  const same = from.bucket === request.bucketName && from.key === request.key;
  if (same && !replace && !headers.has("x-amz-storage-class")) {
    throw refuse(
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without changing anything.",
    );
  }
  const bytes = await state.payloads.read(original.payloadId, 0, original.length);
  const { bucket, version } = await storeObject(request, state, {
    bytes,
    etag: original.etag,
    storageClass: described.storageClass,
    headers: replace ? described.headers : original.headers,
    checksum: original.checksum,
    ...lock,
  });
  const body = xmlDocument(
    "CopyObjectResult",
    tag("LastModified", isoTime(version.modifiedMs)),
    tag("ETag", `"${version.etag}"`),
  );
  return {
    status: 200,
    body,
    headers: {
      ...versionHeaders(bucket.settings, version),
      ...headersOf({
        "x-amz-copy-source-version-id":
          original.versionId === "null" ? undefined : original.versionId,
      }),
    },
  };
};

interface Removal {
  /** The version that was removed, or the marker that was set. */
  readonly versionId: string | undefined;
  readonly deleteMarker: boolean;
}

function removeObject(
  request: S3Request,
  state: S3State,
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
): Removal {
  const { nowMs: atMs } = request;
  const name = bucket.settings.name;
  if (versionId !== undefined) {
    const version = bucket.versions(key).find((other) => other.versionId === versionId);
    if (!version) return { versionId, deleteMarker: false };
    checkRemovable(version, atMs, bypasses(request));
    state.buckets.commit({ do: "remove", bucket: name, key, versionId, atMs });
    return { versionId, deleteMarker: version.deleteMarker };
  }
  if (bucket.settings.versioning === undefined) {
    if (bucket.current(key))
      state.buckets.commit({ do: "remove", bucket: name, key, versionId: "null", atMs });
    return { versionId: undefined, deleteMarker: false };
  }
  const marker: ObjectVersion = {
    key,
    versionId: nextVersionId(bucket.settings),
    deleteMarker: true,
    modifiedMs: wholeSeconds(atMs),
    length: 0,
    etag: "",
    storageClass: "STANDARD",
    headers: {},
    payloadId: "",
  };
  state.buckets.commit({ do: "put", bucket: name, version: marker, atMs });
  return { versionId: marker.versionId, deleteMarker: true };
}

export const deleteObject: S3Handler = async (request, state): Promise<S3Answer> => {
  const bucket = bucketOf(request, state);
  const ifMatch = request.headers.get("if-match");
  const current = bucket.current(request.key);
  if (ifMatch !== undefined && current)
    checkReadConditions(new Map([["if-match", ifMatch]]), current);
  const removed = removeObject(request, state, bucket, request.key, versionIdOf(request));
  return {
    status: 204,
    headers: headersOf({
      "x-amz-version-id": removed.versionId,
      "x-amz-delete-marker": removed.deleteMarker ? "true" : undefined,
    }),
  };
};

const maxBatch = 1000;

export const deleteObjects: S3Handler = async (request, state) => {
  const { bytes, verified } = await request.receive("xml");
  if (!verified) {
    throw refuse("InvalidRequest", "Missing required header for this request: Content-MD5");
  }
  const root = parseXml(bytes, "Delete");
  checkChildren(root, "Object", "Quiet");
  const quiet = childText(root, "Quiet")?.toLowerCase() === "true";
  const objects = root.children.filter(({ name }) => name === "Object");
  if (objects.length === 0 || objects.length > maxBatch) throw refuse("MalformedXML");
  const bucket = bucketOf(request, state);
  const results: Xml[] = [];
  for (const object of objects) {
    checkChildren(object, "Key", "VersionId", "ETag", "LastModifiedTime", "Size");
    const key = childText(object, "Key");
    const wanted = childText(object, "VersionId") || undefined;
    if (!key) throw refuse("MalformedXML");
    try {
      if (!request.permits("delete", key)) throw refuse("AccessDenied");
      const { deleteMarker, versionId } = removeObject(request, state, bucket, key, wanted);
      if (quiet) continue;
      const marked = deleteMarker ? versionId : undefined;
      results.push(
        tag(
          "Deleted",
          tag("Key", key),
          wanted === undefined ? undefined : tag("VersionId", wanted),
          deleteMarker ? tag("DeleteMarker", true) : undefined,
          marked === undefined ? undefined : tag("DeleteMarkerVersionId", marked),
        ),
      );
    } catch (error) {
      if (!(error instanceof S3Refusal)) throw error;
      const { code, message } = error;
      const version = wanted === undefined ? undefined : tag("VersionId", wanted);
      results.push(
        tag("Error", tag("Key", key), version, tag("Code", code), tag("Message", message)),
      );
    }
  }
  return { status: 200, body: xmlDocument("DeleteResult", ...results) };
};
