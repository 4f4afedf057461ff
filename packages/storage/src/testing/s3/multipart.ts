/**
 * The operations of multipart uploads: begin, parts, complete, abort, lists. A completed upload is put like any object,
 * under the same conditions.
 * Proof: test/testing-s3-checks.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { StoredChecksum } from "./buckets.ts";
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumHeader,
  checksumOf,
  createChecksum,
} from "./checksums.ts";
import { isoTime, lockOfPut } from "./object-lock.ts";
import { describePut, storeObject } from "./object-write.ts";
import { refuse } from "./refusal.ts";
import { bucketOf, headersOf, type S3Handler, type S3Request, type S3State } from "./request.ts";
import type { MultipartUpload, UploadedPart } from "./uploads.ts";
import { compareUtf8, listEncode } from "./uri.ts";
import { versionHeaders } from "./versions.ts";
import { checkChildren, childText, parseXml, tag, type XmlElement, xmlDocument } from "./xml.ts";

const maxParts = 10_000;

const uploadOf = (request: S3Request, state: S3State): MultipartUpload =>
  state.uploads.get(request.query.get("uploadId") ?? "", request.bucketName, request.key);

const etagOf = ({ md5 }: UploadedPart): string => Buffer.from(md5).toString("hex");

export const createMultipartUpload: S3Handler = async (request, state) => {
  const { headers } = request;
  const { settings } = bucketOf(request, state);
  const described = describePut(request);
  const lock = lockOfPut(request, settings);
  const named = headers.get("x-amz-checksum-algorithm")?.toUpperCase();
  const checksumAlgorithm = checksumAlgorithms.find((algorithm) => algorithm === named);
  if (named !== undefined && checksumAlgorithm === undefined)
    throw refuse("InvalidRequest", "Checksum algorithm provided is unsupported.");
  const type = headers.get("x-amz-checksum-type")?.toUpperCase();
  const usual = checksumAlgorithm === "CRC64NVME" ? "FULL_OBJECT" : "COMPOSITE";
  const checksumType = type === undefined ? usual : type;
  const possible =
    checksumType === "COMPOSITE"
      ? checksumAlgorithm !== "CRC64NVME"
      : checksumType === "FULL_OBJECT" && !checksumAlgorithm?.startsWith("SHA");
  if (!possible || (checksumType !== "COMPOSITE" && checksumType !== "FULL_OBJECT"))
    throw refuse("InvalidRequest", "The checksum type does not go with the algorithm.");
  await request.receive("xml");
  const upload = state.uploads.begin({
    bucket: request.bucketName,
    key: request.key,
    startedMs: request.nowMs,
    ...described,
    lock,
    checksumAlgorithm,
    checksumType,
  });
  const body = xmlDocument(
    "InitiateMultipartUploadResult",
    tag("Bucket", upload.bucket),
    tag("Key", upload.key),
    tag("UploadId", upload.id),
  );
  return {
    status: 200,
    body,
    headers: headersOf({
      "x-amz-checksum-algorithm": checksumAlgorithm,
      "x-amz-checksum-type": checksumAlgorithm && checksumType,
    }),
  };
};

export const uploadPart: S3Handler = async (request, state) => {
  uploadOf(request, state);
  const text = request.query.get("partNumber") ?? "";
  const number = Number(text);
  if (!/^\d{1,5}$/.test(text) || number < 1 || number > maxParts) {
    throw refuse(
      "InvalidArgument",
      `Part number must be an integer between 1 and ${maxParts}, inclusive`,
    );
  }
  const { bytes, checksum, md5 } = await request.receive("object");
  // It may have ended while the bytes came.
  const upload = uploadOf(request, state);
  if (checksum && upload.checksumAlgorithm && checksum.algorithm !== upload.checksumAlgorithm) {
    throw refuse(
      "InvalidRequest",
      `Checksum Type mismatch occurred, expected checksum Type: ${upload.checksumAlgorithm}, actual checksum Type: ${checksum.algorithm}`,
    );
  }
  const part = { number, bytes, md5, checksum, modifiedMs: request.nowMs };
  upload.parts.set(number, part);
  return {
    status: 200,
    headers: {
      etag: `"${etagOf(part)}"`,
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
    },
  };
};

/** Element of a digest in XML: `ChecksumCRC32`. */
const checksumTag = (algorithm: ChecksumAlgorithm): string => `Checksum${algorithm}`;

function namedPart(element: XmlElement, upload: MultipartUpload): UploadedPart {
  checkChildren(element, "PartNumber", "ETag", ...checksumAlgorithms.map(checksumTag));
  const number = Number(childText(element, "PartNumber"));
  const part = upload.parts.get(number);
  const etag = (childText(element, "ETag") ?? "").replace(/^"|"$/g, "");
  if (!part || etagOf(part) !== etag) {
    throw refuse("InvalidPart", {
      elements: { UploadId: upload.id, PartNumber: String(number) },
    });
  }
  for (const algorithm of checksumAlgorithms) {
    const value = childText(element, checksumTag(algorithm));
    if (value === undefined) continue;
    if (checksumOf(algorithm, part.bytes).toString("base64") !== value) throw refuse("InvalidPart");
  }
  return part;
}

function completedChecksum(
  { checksumAlgorithm: algorithm, checksumType: type }: MultipartUpload,
  parts: readonly UploadedPart[],
): StoredChecksum | undefined {
  if (algorithm === undefined) return undefined;
  const whole = createChecksum(algorithm);
  for (const { bytes } of parts)
    whole.update(type === "FULL_OBJECT" ? bytes : checksumOf(algorithm, bytes));
  const value = whole.digest().toString("base64");
  return { algorithm, type, value: type === "FULL_OBJECT" ? value : `${value}-${parts.length}` };
}

export const completeMultipartUpload: S3Handler = async (request, state) => {
  const { bytes } = await request.receive("xml");
  const upload = uploadOf(request, state);
  const root = parseXml(bytes, "CompleteMultipartUpload");
  checkChildren(root, "Part");
  if (root.children.length === 0 || root.children.length > maxParts) throw refuse("MalformedXML");
  const parts = root.children.map((element) => namedPart(element, upload));
  for (const [index, part] of parts.entries()) {
    const before = parts[index - 1];
    if (before === undefined) continue;
    if (before.number >= part.number) throw refuse("InvalidPartOrder");
    if (before.bytes.length < state.minPartBytes) {
      throw refuse("EntityTooSmall", {
        elements: { PartNumber: String(before.number), MinSizeAllowed: String(state.minPartBytes) },
      });
    }
  }
  const whole = Buffer.concat(parts.map((part) => part.bytes));
  if (whole.length > state.maxObjectBytes) throw refuse("EntityTooLarge");
  const md5 = createHash("md5");
  for (const part of parts) md5.update(part.md5);
  const checksum = completedChecksum(upload, parts);
  // Here, and nowhere else, a digest in a header is that of the object and not that of the body.
  const given = checksum && request.headers.get(checksumHeader(checksum.algorithm));
  if (given !== undefined && given !== checksum?.value) throw refuse("BadDigest");
  const etag = `${md5.digest("hex")}-${parts.length}`;
  const { bucket, version } = await storeObject(request, state, {
    bytes: whole,
    etag,
    storageClass: upload.storageClass,
    headers: upload.headers,
    ...upload.lock,
    checksum,
    partCount: parts.length,
  });
  state.uploads.end(upload.id);
  const body = xmlDocument(
    "CompleteMultipartUploadResult",
    tag("Location", `/${upload.bucket}/${upload.key}`),
    tag("Bucket", upload.bucket),
    tag("Key", upload.key),
    tag("ETag", `"${etag}"`),
    checksum && tag(checksumTag(checksum.algorithm), checksum.value),
    checksum && tag("ChecksumType", checksum.type),
  );
  return { status: 200, body, headers: versionHeaders(bucket.settings, version) };
};

export const abortMultipartUpload: S3Handler = async (request, state) => {
  state.uploads.end(uploadOf(request, state).id);
  return { status: 204 };
};

export const listParts: S3Handler = async (request, state) => {
  const upload = uploadOf(request, state);
  const after = Number(request.query.get("part-number-marker") ?? 0);
  const asked = Number(request.query.get("max-parts") ?? 1000);
  if (!Number.isInteger(after) || !Number.isInteger(asked) || asked < 0)
    throw refuse("InvalidArgument");
  const all = [...upload.parts.values()]
    .filter(({ number }) => number > after)
    .sort((a, b) => a.number - b.number);
  const shown = all.slice(0, Math.min(asked, 1000));
  const truncated = shown.length < all.length;
  const body = xmlDocument(
    "ListPartsResult",
    tag("Bucket", upload.bucket),
    tag("Key", upload.key),
    tag("UploadId", upload.id),
    tag("PartNumberMarker", after),
    truncated ? tag("NextPartNumberMarker", shown.at(-1)?.number ?? after) : undefined,
    tag("MaxParts", Math.min(asked, 1000)),
    tag("IsTruncated", truncated),
    tag("StorageClass", upload.storageClass),
    ...shown.map((part) =>
      tag(
        "Part",
        tag("PartNumber", part.number),
        tag("LastModified", isoTime(part.modifiedMs)),
        tag("ETag", `"${etagOf(part)}"`),
        tag("Size", part.bytes.length),
        part.checksum && tag(checksumTag(part.checksum.algorithm), part.checksum.value),
      ),
    ),
  );
  return { status: 200, body };
};

export const listMultipartUploads: S3Handler = async (request, state) => {
  bucketOf(request, state);
  const { query } = request;
  const prefix = query.get("prefix") ?? "";
  const encoded = query.get("encoding-type") === "url";
  const uploads = state.uploads
    .of(request.bucketName)
    .filter(({ key }) => key.startsWith(prefix))
    .sort((a, b) => compareUtf8(a.key, b.key));
  // Pages of uploads are not needed by anybody who tests a repository.
  if (uploads.length > 1000 || query.has("key-marker") !== query.has("upload-id-marker"))
    throw refuse("NotImplemented");
  const body = xmlDocument(
    "ListMultipartUploadsResult",
    tag("Bucket", request.bucketName),
    tag("Prefix", encoded ? listEncode(prefix) : prefix),
    tag("MaxUploads", 1000),
    encoded ? tag("EncodingType", "url") : undefined,
    tag("IsTruncated", false),
    ...uploads.map((upload) =>
      tag(
        "Upload",
        tag("Key", encoded ? listEncode(upload.key) : upload.key),
        tag("UploadId", upload.id),
        tag("StorageClass", upload.storageClass),
        tag("Initiated", isoTime(upload.startedMs)),
      ),
    ),
  );
  return { status: 200, body };
};
