/**
 * The few requests of S3 that a repository needs, by whole keys.
 * Proof: test/s3-store.test.ts, test/s3-faults.test.ts.
 * @module
 */
import { StorageError } from "@dm/core";
import type { Retention } from "../blob-store.ts";
import { md5Base64 } from "../http/digests.ts";
import { answerIncomplete, contentLength, type HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { childText, parseXml, type XmlElement } from "../http/xml.ts";
import type { RequestContent, S3Client } from "./s3-client.ts";
import type { S3Fault } from "./s3-errors.ts";

export interface S3Object {
  readonly key: string;
  /** Bytes. */
  readonly length: number;
  readonly timestampNs: bigint;
}

export interface S3Version extends S3Object {
  readonly versionId: string;
  readonly deleted: boolean;
}

export interface ByteRange {
  readonly offset: number;
  /** Up to the end without it. */
  readonly length?: number | undefined;
}

interface Call {
  readonly signal?: AbortSignal | undefined;
  readonly versionId?: string | undefined;
}

/** What a caller makes of a key that is not there, and of a range that the object does not have. */
export interface GetErrors {
  missing(): Error;
  range(objectLength: number | undefined): Error;
}

/** A page has at most 1000 keys of 1024 bytes, which encoding may triple. */
const maxPageBytes = 16 << 20;
const maxSmallBytes = 64 << 10;

/**
 * Somebody has answered in the place of the server: with a page, which no blob is, or with nothing, and without what a server says
 * of every object, also in a browser.
 */
const isNoObject = ({ body, header, status }: HttpResponse): boolean => {
  if (/^text\/html\b/i.test(header("content-type") ?? "")) return true;
  if (status !== 200) return false;
  if (body.length === 0) return !header("etag") && !header("last-modified");
  return /^<(?:!doctype\s|html)/i.test(String.fromCharCode(...body.subarray(0, 10)));
};

const versionQuery = ({ versionId }: Call): Readonly<Record<string, string>> | undefined =>
  versionId === undefined ? undefined : { versionId };

export interface HeadErrors {
  missing(): Error;
}

export function s3Objects(client: S3Client) {
  /** Length and time of an object. */
  async function head(key: string, errors: HeadErrors, call: Call): Promise<S3Object> {
    let unclear = false;
    const response = await client.request({
      operation: "stat",
      method: "HEAD",
      key,
      query: versionQuery(call),
      maxBodyBytes: 0,
      signal: call.signal,
      onFault({ status }) {
        // The answer to HEAD has no body: why it was refused, only GET tells. Also "not found" may mean the bucket.
        if (status === 404 && client.bucketSeen) return errors.missing();
        if (status === 429 || status >= 500) return undefined;
        unclear = true;
        return notAnswered;
      },
    });
    if (!unclear) return described(key, response, response.header("content-length"));
    return headByGet(key, errors, call);
  }

  async function headByGet(key: string, errors: HeadErrors, call: Call): Promise<S3Object> {
    let empty = false;
    const response = await client.request({
      operation: "stat",
      method: "GET",
      key,
      query: versionQuery(call),
      content: { headers: { range: "bytes=0-0" } },
      maxBodyBytes: maxSmallBytes,
      signal: call.signal,
      onFault(fault) {
        if (isMissing(fault)) return errors.missing();
        // An object without a first byte has none at all; why HEAD was refused has been mended on the way.
        if (fault.status !== 416) return undefined;
        empty = true;
        return notAnswered;
      },
    });
    if (empty) return headOfEmpty(key, errors, call);
    const range = parseContentRange(response.header("content-range"));
    return described(key, response, range ? String(range.total) : String(response.body.length));
  }

  async function headOfEmpty(key: string, errors: HeadErrors, call: Call): Promise<S3Object> {
    const response = await client.request({
      operation: "stat",
      method: "GET",
      key,
      query: versionQuery(call),
      maxBodyBytes: 0,
      signal: call.signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
    return described(key, response, String(response.body.length));
  }

  /** The bytes of an object, or exactly a range of them. */
  async function get(
    key: string,
    range: ByteRange | undefined,
    errors: GetErrors,
    call: Call & { readonly maxBytes: number },
  ): Promise<Uint8Array> {
    const { offset = 0, length } = range ?? {};
    const end = length === undefined ? undefined : offset + length;
    let unsatisfied: { total: number | undefined } | undefined;
    const response = await client.request({
      operation: "get",
      method: "GET",
      key,
      query: versionQuery(call),
      content: range && {
        headers: { range: `bytes=${offset}-${end === undefined ? "" : end - 1}` },
      },
      maxBodyBytes: length ?? call.maxBytes,
      signal: call.signal,
      onFault(fault) {
        if (isMissing(fault)) return errors.missing();
        if (fault.status !== 416) return undefined;
        unsatisfied = { total: undefined };
        return notAnswered;
      },
    });
    if (isNoObject(response))
      throw invalidAnswer(`status ${response.status}, and no object`, response.body);
    if (!range) {
      if (response.status !== 200) throw invalidAnswer(`status ${response.status}`, response.body);
      return response.body;
    }
    const total = async (): Promise<number> => (await head(key, errors, call)).length;
    if (unsatisfied) {
      const objectLength = await total();
      if (length === undefined && offset === objectLength) return new Uint8Array(0);
      if (end === undefined || end > objectLength) throw errors.range(objectLength);
      throw new StorageError(
        "DM_STORE_ANSWER_INVALID",
        `the server refuses a range within ${key}`,
        { key, offset, length, objectLength },
        { retryable: true },
      );
    }
    if (response.status === 200) {
      // The whole object in place of the range: allowed, if it is no longer than the range was.
      const { body } = response;
      if (offset > body.length || (end ?? 0) > body.length) throw errors.range(body.length);
      return body.slice(offset, end);
    }
    const { body } = response;
    const served = parseContentRange(response.header("content-range"));
    if (served && (served.from !== offset || served.to - served.from + 1 !== body.length)) {
      throw answerIncomplete(`another range of ${key} than was asked for, or less of it`);
    }
    if (length === undefined) {
      const objectLength = served?.total ?? (await total());
      if (offset + body.length === objectLength) return body;
      throw answerIncomplete(`${body.length} bytes of ${key} from ${offset} on`);
    }
    if (body.length === length) return body;
    const objectLength = served?.total ?? (await total());
    if (offset + length > objectLength) throw errors.range(objectLength);
    throw answerIncomplete(`${body.length} of ${length} bytes of ${key}`);
  }

  /** Stores a whole object. */
  async function put(
    key: string,
    data: Uint8Array,
    options: Call & {
      readonly storageClass?: string | undefined;
      readonly retention?: Retention | undefined;
      /** The error for an object that is there; makes the put conditional. */
      readonly exists?: (() => Error) | undefined;
    },
  ): Promise<void> {
    const { exists, retention, signal, storageClass } = options;
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
    call: Call,
  ): Promise<void> {
    const notStored = (): Error => invalidAnswer(`status ${status} to a put without an ETag`, body);
    if (body.length > 0) throw notStored();
    const { length } = await head(key, { missing: notStored }, call);
    if (length !== data.length) throw notStored();
  }

  async function extendRetention(
    key: string,
    retention: Retention,
    errors: HeadErrors,
    { signal }: Call,
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
  async function remove(key: string, { signal }: Call): Promise<void> {
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
    { signal }: Call,
  ): Promise<{ readonly objects: S3Object[]; readonly next: string | undefined }> {
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
    const objects = root.children
      .filter(({ name }) => name === "Contents")
      .map((element) => readObject(element, decode, prefix, response));
    const next = childText(root, "NextContinuationToken");
    if (childText(root, "IsTruncated") !== "true") return { objects, next: undefined };
    if (!next || next === token) throw invalidAnswer("a list without an end", response.body);
    return { objects, next };
  }

  /** One page of versions and delete markers: by key, the newest first. */
  async function versionsPage(
    prefix: string,
    marker: VersionMarker | undefined,
    { signal }: Call,
  ): Promise<{ readonly versions: S3Version[]; readonly next: VersionMarker | undefined }> {
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
      .map((element) => ({
        ...readObject(element, decode, prefix, response),
        versionId: childText(element, "VersionId") ?? "null",
        deleted: element.name === "DeleteMarker",
      }));
    if (childText(root, "IsTruncated") !== "true") return { versions, next: undefined };
    const key = decode(childText(root, "NextKeyMarker") ?? "");
    const versionId = childText(root, "NextVersionIdMarker") ?? "";
    if (key === "" || (key === marker?.key && versionId === marker.versionId)) {
      throw invalidAnswer("a list without an end", response.body);
    }
    return { versions, next: { key, versionId } };
  }

  /** Whether the bucket keeps old versions now. */
  async function isVersioned({ signal }: Call): Promise<boolean> {
    const response = await client.request({
      operation: "versioning",
      method: "GET",
      key: "",
      query: { versioning: "" },
      maxBodyBytes: maxSmallBytes,
      signal,
    });
    return childText(page(response, "VersioningConfiguration"), "Status") === "Enabled";
  }

  return { head, get, put, remove, listPage, versionsPage, extendRetention, isVersioned };
}

export type S3Objects = ReturnType<typeof s3Objects>;

export interface VersionMarker {
  readonly key: string;
  readonly versionId: string;
}

const isMissing = ({ status, code }: S3Fault): boolean =>
  status === 404 && (code === "NoSuchKey" || code === "NoSuchVersion");

/** Stands for an answer whose meaning its caller has noted already. */
const notAnswered: HttpResponse = {
  status: 204,
  header: () => undefined,
  body: new Uint8Array(0),
};

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
): S3Object {
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

function described(key: string, response: HttpResponse, lengthText: string | undefined): S3Object {
  const length = contentLength(lengthText);
  const timeMs = Date.parse(response.header("last-modified") ?? "");
  if (length === undefined || Number.isNaN(timeMs)) {
    throw invalidAnswer("without the length or the time of the object", response.body);
  }
  return { key, length, timestampNs: BigInt(timeMs) * 1_000_000n };
}

/** `bytes 0-9/100`. */
function parseContentRange(
  text: string | undefined,
): { readonly from: number; readonly to: number; readonly total: number } | undefined {
  const found = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(text ?? "");
  return found
    ? { from: Number(found[1]), to: Number(found[2]), total: Number(found[3]) }
    : undefined;
}
