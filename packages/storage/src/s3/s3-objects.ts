/**
 * The few requests of S3 that a repository needs, by whole keys.
 * Proof: test/s3-store.test.ts, test/s3-faults.test.ts.
 * @module
 */
import { equalBytes, UnsupportedError } from "@dm/core";
import type { Retention } from "../blob-store.ts";
import { notAnswered } from "../http/api-client.ts";
import { md5Base64 } from "../http/digests.ts";
import { contentLength, type HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import {
  type ByteRange,
  eachPage,
  folderNames,
  type ObjectCall,
  type ObjectErrors,
  type ObjectPut,
  type ReadableObjects,
  type StoredObject,
  type WritableObjects,
} from "../http/object-store.ts";
import type { ObjectVersion, VersionedObjects } from "../http/object-versions.ts";
import { parseContentRange, rangedGet } from "../http/ranged-get.ts";
import { childText, parseXml, type XmlElement } from "../http/xml.ts";
import type { RequestContent, S3Client } from "./s3-client.ts";
import type { S3Fault } from "./s3-errors.ts";

export interface S3ObjectsOptions {
  /** For messages. */
  readonly bucket: string;
  /** The storage class of an object that is to be put; undefined leaves it to the bucket. */
  readonly storageClassOf: (key: string) => Promise<string | undefined>;
}

export type S3Objects = ReadableObjects & WritableObjects & VersionedObjects;

type Missing = Pick<ObjectErrors, "missing">;

/** A page has at most 1000 keys of 1024 bytes, which encoding may triple. */
const maxPageBytes = 16 << 20;
const maxSmallBytes = 64 << 10;

const versionQuery = (version: string | undefined): Readonly<Record<string, string>> | undefined =>
  version === undefined ? undefined : { versionId: version };

export function s3Objects(
  client: S3Client,
  { bucket, storageClassOf }: S3ObjectsOptions,
): S3Objects {
  /** Length and time of an object. */
  async function head(
    key: string,
    errors: Missing,
    call: ObjectCall,
    version?: string,
  ): Promise<StoredObject> {
    const response = await client.request({
      operation: "stat",
      method: "HEAD",
      key,
      query: versionQuery(version),
      maxBodyBytes: 0,
      signal: call.signal,
      onFault({ status }) {
        // The answer to HEAD has no body: why it was refused, only GET tells. Also "not found" may mean the bucket.
        if (status === 404 && client.bucketSeen) return errors.missing();
        if (status === 429 || status >= 500) return undefined;
        return notAnswered;
      },
    });
    if (response === notAnswered) return headByGet(key, errors, call, version);
    return described(key, response, response.header("content-length"));
  }

  async function headByGet(
    key: string,
    errors: Missing,
    call: ObjectCall,
    version: string | undefined,
  ): Promise<StoredObject> {
    const response = await client.request({
      operation: "stat",
      method: "GET",
      key,
      query: versionQuery(version),
      content: { headers: { range: "bytes=0-0" } },
      maxBodyBytes: maxSmallBytes,
      signal: call.signal,
      onFault(fault) {
        if (isMissing(fault)) return errors.missing();
        // An object without a first byte has none at all; why HEAD was refused has been mended on the way.
        return fault.status === 416 ? notAnswered : undefined;
      },
    });
    if (response === notAnswered) return headOfEmpty(key, errors, call, version);
    const range = parseContentRange(response.header("content-range"));
    return described(key, response, range ? String(range.total) : String(response.body.length));
  }

  async function headOfEmpty(
    key: string,
    errors: Missing,
    call: ObjectCall,
    version: string | undefined,
  ): Promise<StoredObject> {
    const response = await client.request({
      operation: "stat",
      method: "GET",
      key,
      query: versionQuery(version),
      maxBodyBytes: 0,
      signal: call.signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
    return described(key, response, String(response.body.length));
  }

  function read(
    key: string,
    range: ByteRange | undefined,
    errors: ObjectErrors,
    { maxBytes, signal }: ObjectCall & { readonly maxBytes: number },
    version?: string,
  ): Promise<Uint8Array> {
    return rangedGet({
      key,
      range,
      maxBytes,
      signal,
      errors,
      isMissing,
      send: (request) => client.request({ ...request, query: versionQuery(version) }),
      objectLength: async () => (await head(key, errors, { signal }, version)).length,
    });
  }

  /** Stores a whole object. */
  async function put(key: string, data: Uint8Array, options: ObjectPut): Promise<void> {
    const { exists, retention, signal } = options;
    const storageClass = await storageClassOf(key);
    const digest = md5Base64(data);
    const response = await client.request({
      operation: "put",
      method: "PUT",
      key,
      content: (nowMs) => ({
        headers: {
          "content-type": "application/x-kopia",
          "content-md5": digest,
          ...(storageClass ? { "x-amz-storage-class": storageClass } : {}),
          ...(retention
            ? {
                "x-amz-object-lock-mode": retention.mode,
                "x-amz-object-lock-retain-until-date": retainUntil(retention, nowMs),
              }
            : {}),
          ...(exists ? { "if-none-match": "*" } : {}),
        },
        body: data,
      }),
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: ({ status, code }) =>
        exists && (status === 412 || code === "PreconditionFailed") ? exists() : undefined,
    });
    if (response.header("etag") === undefined) await confirm(key, data, response, { signal });
  }

  /**
   * Every server says the ETag of what it has stored. Without one a browser may not see it, or a proxy has answered in the place
   * of the server, and nothing is stored.
   */
  async function confirm(
    key: string,
    data: Uint8Array,
    { body, status }: HttpResponse,
    call: ObjectCall,
  ): Promise<void> {
    const notStored = (): Error => invalidAnswer(`status ${status} to a put without an ETag`, body);
    if (body.length > 0) throw notStored();
    const errors = { missing: notStored, range: notStored };
    const stored = await read(key, undefined, errors, { ...call, maxBytes: data.length });
    if (!equalBytes(stored, data)) throw notStored();
  }

  async function extendRetention(
    key: string,
    retention: Retention,
    errors: Missing,
    { signal }: ObjectCall,
  ): Promise<void> {
    const content = (nowMs: number): RequestContent => {
      const body = new TextEncoder().encode(
        '<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
          `<Mode>${retention.mode}</Mode>` +
          `<RetainUntilDate>${retainUntil(retention, nowMs)}</RetainUntilDate></Retention>`,
      );
      const headers = { "content-type": "application/xml", "content-md5": md5Base64(body) };
      return { headers, body };
    };
    await client.request({
      operation: "extendRetention",
      method: "PUT",
      key,
      query: { retention: "" },
      content,
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
  }

  /** Removes an object; one that is not there is success. */
  async function remove(key: string, { signal }: ObjectCall): Promise<void> {
    await client.request({
      operation: "delete",
      method: "DELETE",
      key,
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: (fault) => (isMissing(fault) ? notAnswered : undefined),
    });
  }

  /** One page of objects whose keys begin with `prefix` and have no further slash, in order of keys. */
  async function listPage(
    prefix: string,
    token: string | undefined,
    { signal }: ObjectCall,
  ): Promise<{
    readonly entries: StoredObject[];
    readonly folders: string[];
    readonly next: string | undefined;
  }> {
    const response = await client.request({
      operation: "list",
      method: "GET",
      key: "",
      query: {
        "list-type": "2",
        delimiter: "/",
        "encoding-type": "url",
        prefix,
        ...(token === undefined ? {} : { "continuation-token": token }),
      },
      maxBodyBytes: maxPageBytes,
      signal,
    });
    const root = page(response, "ListBucketResult");
    const decode = keyDecoder(root);
    const entries = root.children
      .filter(({ name }) => name === "Contents")
      .map((element) => readObject(element, decode, prefix, response));
    const rolledUp = root.children
      .filter(({ name }) => name === "CommonPrefixes")
      .map((element) => decode(childText(element, "Prefix") ?? ""));
    const folders = folderNames(rolledUp, prefix);
    const next = childText(root, "NextContinuationToken");
    if (childText(root, "IsTruncated") !== "true") return { entries, folders, next: undefined };
    if (!next || next === token) throw invalidAnswer("a list without an end", response.body);
    return { entries, folders, next };
  }

  /** One page of versions and delete markers, those of a key together. */
  async function versionsPage(
    prefix: string,
    marker: VersionMarker | undefined,
    { signal }: ObjectCall,
  ): Promise<{ readonly entries: ObjectVersion[]; readonly next: VersionMarker | undefined }> {
    const response = await client.request({
      operation: "list of versions",
      method: "GET",
      key: "",
      query: {
        versions: "",
        delimiter: "/",
        "encoding-type": "url",
        prefix,
        ...(marker ? { "key-marker": marker.key } : {}),
        ...(marker?.versionId ? { "version-id-marker": marker.versionId } : {}),
      },
      maxBodyBytes: maxPageBytes,
      signal,
    });
    const root = page(response, "ListVersionsResult");
    const decode = keyDecoder(root);
    const versions = root.children
      .filter(({ name }) => name === "Version" || name === "DeleteMarker")
      .map((element): ObjectVersion => {
        const object = readObject(element, decode, prefix, response);
        return {
          ...object,
          version: childText(element, "VersionId") ?? "null",
          sinceNs: object.timestampNs,
          deleted: element.name === "DeleteMarker",
        };
      });
    // Some servers list versions and delete markers apart.
    const entries = [...Map.groupBy(versions, ({ key }) => key).values()].flat();
    if (childText(root, "IsTruncated") !== "true") return { entries, next: undefined };
    const key = decode(childText(root, "NextKeyMarker") ?? "");
    const versionId = childText(root, "NextVersionIdMarker") ?? "";
    if (key === "" || (key === marker?.key && versionId === marker.versionId)) {
      throw invalidAnswer("a list without an end", response.body);
    }
    return { entries, next: { key, versionId } };
  }

  async function requireVersions({ signal }: ObjectCall): Promise<void> {
    const response = await client.request({
      operation: "versioning",
      method: "GET",
      key: "",
      query: { versioning: "" },
      maxBodyBytes: maxSmallBytes,
      signal,
    });
    if (childText(page(response, "VersioningConfiguration"), "Status") === "Enabled") return;
    throw new UnsupportedError(
      "DM_STORE_NOT_VERSIONED",
      `bucket ${bucket} keeps no versions: there is no earlier state of it to be seen`,
      { bucket },
    );
  }

  return {
    head,
    get: read,
    put,
    remove,
    extendRetention,
    list: (prefix, repeat, call) =>
      eachPage(repeat, call.signal, (token) => listPage(prefix, token, call)),
    folders: (prefix, repeat, call) =>
      eachPage(repeat, call.signal, async (token) => {
        const { folders, next } = await listPage(prefix, token, call);
        return { entries: folders, next };
      }),
    getVersion: (version, range, errors, call) =>
      read(version.key, range, errors, call, version.version),
    requireVersions,
    newestFirst: true,
    versions: (prefix, repeat, call) =>
      eachPage(repeat, call.signal, (marker: VersionMarker | undefined) =>
        versionsPage(prefix, marker, call),
      ),
  };
}

interface VersionMarker {
  readonly key: string;
  readonly versionId: string;
}

const isMissing = ({ status, code }: S3Fault): boolean =>
  status === 404 && (code === "NoSuchKey" || code === "NoSuchVersion");

/** To the second, never shorter than asked. */
function retainUntil({ periodMs }: Retention, nowMs: number): string {
  const until = new Date(Math.ceil((nowMs + periodMs) / 1000) * 1000);
  return until.toISOString().replace(".000Z", "Z");
}

function page(response: HttpResponse, name: string): XmlElement {
  const root = parseXml(response.body);
  if (root.name !== name) throw invalidAnswer(`no ${name}`, response.body);
  return root;
}

/** Keys come URL-encoded where the server follows `encoding-type`, and plain where it does not. */
function keyDecoder(root: XmlElement): (key: string) => string {
  if (childText(root, "EncodingType")?.toLowerCase() !== "url") return (key) => key;
  return (key) => {
    try {
      return decodeURIComponent(key.replaceAll("+", " "));
    } catch {
      return key;
    }
  };
}

function readObject(
  element: XmlElement,
  decode: (key: string) => string,
  prefix: string,
  { body }: HttpResponse,
): StoredObject {
  const key = decode(childText(element, "Key") ?? "");
  const size = childText(element, "Size") ?? (element.name === "DeleteMarker" ? "0" : "");
  const length = contentLength(size);
  const timeMs = Date.parse(childText(element, "LastModified") ?? "");
  if (!key.startsWith(prefix) || length === undefined || Number.isNaN(timeMs)) {
    throw invalidAnswer(
      "a list whose entries have no key, length or time, or another prefix",
      body,
    );
  }
  return { key, length, timestampNs: BigInt(timeMs) * 1_000_000n };
}

function described(
  key: string,
  response: HttpResponse,
  lengthText: string | undefined,
): StoredObject {
  const length = contentLength(lengthText);
  const timeMs = Date.parse(response.header("last-modified") ?? "");
  if (length === undefined || Number.isNaN(timeMs)) {
    throw invalidAnswer("without the length or the time of the object", response.body);
  }
  return { key, length, timestampNs: BigInt(timeMs) * 1_000_000n };
}
