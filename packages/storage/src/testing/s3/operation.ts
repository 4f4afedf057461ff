/**
 * Which operation of S3 a request asks for, by method, target and query, and which permission it needs.
 * Proof: test/testing-s3-formats.test.ts.
 * @module
 */
import type { Permission } from "./access-key.ts";
import { refuse } from "./refusal.ts";

/** Every operation that the server knows, and what a key must be permitted to ask for it. */
const permissions = {
  ListBuckets: "list",
  CreateBucket: "admin",
  DeleteBucket: "admin",
  HeadBucket: "list",
  GetBucketLocation: "list",
  GetBucketVersioning: "list",
  PutBucketVersioning: "admin",
  GetObjectLockConfiguration: "list",
  PutObjectLockConfiguration: "admin",
  ListObjects: "list",
  ListObjectsV2: "list",
  ListObjectVersions: "list",
  ListMultipartUploads: "list",
  GetObject: "read",
  HeadObject: "read",
  PutObject: "write",
  CopyObject: "write",
  DeleteObject: "delete",
  DeleteObjects: "delete",
  GetObjectRetention: "read",
  PutObjectRetention: "retain",
  GetObjectLegalHold: "read",
  PutObjectLegalHold: "retain",
  CreateMultipartUpload: "write",
  UploadPart: "write",
  CompleteMultipartUpload: "write",
  AbortMultipartUpload: "write",
  ListParts: "read",
} as const satisfies Record<string, Permission>;

export type S3Operation = keyof typeof permissions;

export const s3Operations = Object.keys(permissions) as readonly S3Operation[];

/** What a key must be permitted to ask for this operation. */
export const permissionOf = (operation: S3Operation): Permission => permissions[operation];

/** Marks in the query that select another resource than the object or bucket itself. */
const bucketResources: Readonly<Record<string, Readonly<Record<string, S3Operation>>>> = {
  location: { GET: "GetBucketLocation" },
  versioning: { GET: "GetBucketVersioning", PUT: "PutBucketVersioning" },
  "object-lock": { GET: "GetObjectLockConfiguration", PUT: "PutObjectLockConfiguration" },
  versions: { GET: "ListObjectVersions" },
  uploads: { GET: "ListMultipartUploads" },
  delete: { POST: "DeleteObjects" },
};

const objectResources: Readonly<Record<string, Readonly<Record<string, S3Operation>>>> = {
  retention: { GET: "GetObjectRetention", PUT: "PutObjectRetention" },
  "legal-hold": { GET: "GetObjectLegalHold", PUT: "PutObjectLegalHold" },
  uploads: { POST: "CreateMultipartUpload" },
  uploadId: {
    GET: "ListParts",
    PUT: "UploadPart",
    POST: "CompleteMultipartUpload",
    DELETE: "AbortMultipartUpload",
  },
};

/** Resources of S3 that the server has not: asking for one must not be taken for a put of an object. */
const unknownResources: readonly string[] = [
  "accelerate",
  "acl",
  "analytics",
  "attributes",
  "cors",
  "encryption",
  "intelligent-tiering",
  "inventory",
  "lifecycle",
  "logging",
  "metrics",
  "notification",
  "ownershipControls",
  "policy",
  "policyStatus",
  "publicAccessBlock",
  "renameObject",
  "replication",
  "requestPayment",
  "restore",
  "select",
  "session",
  "tagging",
  "torrent",
  "website",
];

export interface RequestShape {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
}

/** Finds the operation, or refuses what S3 does not have and what the server does not know. */
export function operationOf({ bucket, headers, key, method, query }: RequestShape): S3Operation {
  for (const name of unknownResources) if (query.has(name)) throw refuse("NotImplemented");
  const notAllowed = (): Error => refuse("MethodNotAllowed");
  if (bucket === "") {
    if (method !== "GET" || key !== "") throw notAllowed();
    return "ListBuckets";
  }
  const resources = key === "" ? bucketResources : objectResources;
  for (const [name, methods] of Object.entries(resources)) {
    if (!query.has(name)) continue;
    const operation = methods[method];
    if (operation === undefined) throw notAllowed();
    if (operation === "UploadPart" && headers.has("x-amz-copy-source"))
      throw refuse("NotImplemented");
    return operation;
  }
  if (key === "") {
    switch (method) {
      case "GET":
        return query.get("list-type") === "2" ? "ListObjectsV2" : "ListObjects";
      case "HEAD":
        return "HeadBucket";
      case "PUT":
        return "CreateBucket";
      case "DELETE":
        return "DeleteBucket";
      default:
        throw notAllowed();
    }
  }
  switch (method) {
    case "GET":
      return "GetObject";
    case "HEAD":
      return "HeadObject";
    case "PUT":
      return headers.has("x-amz-copy-source") ? "CopyObject" : "PutObject";
    case "DELETE":
      return "DeleteObject";
    default:
      throw notAllowed();
  }
}
