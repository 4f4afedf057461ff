/**
 * The few requests of Google's JSON API that a repository needs, by whole names. Every blob is put at once, in one request with
 * its metadata and its MD5, which the service checks before anything is visible.
 * Proof: test/gcs-store.test.ts, test/gcs-faults.test.ts, test/gcs.fake-gcs-server.test.ts.
 * @module
 */

import { concatBytes, UnsupportedError } from "@dm/core";
import type { Retention } from "../blob-store.ts";
import { type ApiClient, type Fault, notAnswered } from "../http/api-client.ts";
import { md5Base64 } from "../http/digests.ts";
import { contentLength } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import {
  type ByteRange,
  eachPage,
  exactTimeNs,
  folderNames,
  type ObjectCall,
  type ObjectErrors,
  type ObjectPut,
  type ReadableObjects,
  recordedTimeNs,
  type StoredObject,
  type WritableObjects,
} from "../http/object-store.ts";
import type { ObjectVersion, VersionedObjects } from "../http/object-versions.ts";
import { encodeComponent, encodeQuery } from "../http/percent-encoding.ts";
import { rangedGet } from "../http/ranged-get.ts";
import type { Repeat } from "../retrying.ts";
import { bucketMissing } from "./gcs-errors.ts";

const pageEntries = 1000;
const maxPageBytes = 16 << 20;
const maxSmallBytes = 64 << 10;
/** Metadata in which Kopia records a time. */
const timeName = "Kopia-Mtime";
const described = "name,size,timeCreated,metadata";

type Query = Readonly<Record<string, string>>;
type Json = Readonly<Record<string, unknown>>;

export type GcsObjects = ReadableObjects & WritableObjects & VersionedObjects;

/** @param endpoint without a slash at its end */
export function gcsObjects(client: ApiClient, endpoint: string, bucket: string): GcsObjects {
  const api = `${endpoint}/storage/v1/b/${encodeComponent(bucket)}`;
  const urlOf = (key: string, query: Query): string =>
    `${api}/o/${encodeComponent(key)}?${encodeQuery(query)}`;

  async function head(
    key: string,
    errors: ObjectErrors,
    { signal }: ObjectCall,
    query: Query = {},
  ): Promise<StoredObject> {
    const { body } = await client.request({
      operation: "stat",
      key,
      method: "GET",
      url: urlOf(key, { ...query, fields: described }),
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
    return readObject(jsonOf(body), body);
  }

  async function read(
    key: string,
    range: ByteRange | undefined,
    errors: ObjectErrors,
    { maxBytes, signal }: ObjectCall & { readonly maxBytes: number },
    query: Query = {},
  ): Promise<Uint8Array> {
    return rangedGet({
      key,
      range,
      maxBytes,
      signal,
      errors,
      isMissing,
      send: (request) =>
        client.request({ ...request, url: urlOf(key, { ...query, alt: "media" }) }),
      objectLength: async () => (await head(key, errors, { signal }, query)).length,
    });
  }

  async function put(key: string, data: Uint8Array, options: ObjectPut): Promise<void> {
    const { exists, retention, signal, timestampNs } = options;
    const md5Hash = md5Base64(data);
    const { body } = await client.request({
      operation: "put",
      key,
      method: "POST",
      url: `${endpoint}/upload/storage/v1/b/${encodeComponent(bucket)}/o?${encodeQuery({
        uploadType: "multipart",
        fields: "name",
        ...(exists ? { ifGenerationMatch: "0" } : {}),
      })}`,
      content: (nowMs) =>
        related(
          {
            name: key,
            contentType: "application/x-kopia",
            md5Hash,
            ...(timestampNs === undefined ? {} : { metadata: { [timeName]: String(timestampNs) } }),
            ...(retention ? { retention: lockedUntil(retention, nowMs) } : {}),
          },
          data,
        ),
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: ({ status }) => (exists && status === 412 ? exists() : undefined),
    });
    requireNamed(body, key);
  }

  async function remove(key: string, { signal }: ObjectCall): Promise<void> {
    const { body, status } = await client.request({
      operation: "delete",
      key,
      method: "DELETE",
      url: `${api}/o/${encodeComponent(key)}`,
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: (fault) => (isMissing(fault) ? notAnswered : undefined),
    });
    // The service says 204, fake-gcs-server 200 with a JSON `null`. Anything else, somebody says in their place.
    if (status !== 204) parseJson(body);
  }

  async function extendRetention(
    key: string,
    retention: Retention,
    errors: ObjectErrors,
    { signal }: ObjectCall,
  ): Promise<void> {
    const { body } = await client.request({
      operation: "extendRetention",
      key,
      method: "PATCH",
      url: urlOf(key, { fields: "name" }),
      content: (nowMs) => ({
        headers: { "content-type": "application/json" },
        body: utf8({ retention: lockedUntil(retention, nowMs) }),
      }),
      maxBodyBytes: maxSmallBytes,
      signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
    requireNamed(body, key);
  }

  async function page<Entry>(
    query: Query & { readonly prefix: string },
    pageToken: string | undefined,
    { signal }: ObjectCall,
    readEntry: (item: Json, body: Uint8Array) => Entry & StoredObject,
  ): Promise<{
    readonly entries: Entry[];
    readonly folders: string[];
    readonly next: string | undefined;
  }> {
    const { body } = await client.request({
      operation: query["versions"] ? "list of versions" : "list",
      key: "",
      method: "GET",
      url: `${api}/o?${encodeQuery({
        delimiter: "/",
        maxResults: String(pageEntries),
        ...query,
        ...(pageToken === undefined ? {} : { pageToken }),
      })}`,
      maxBodyBytes: maxPageBytes,
      signal,
    });
    const { items = [], nextPageToken = "", prefixes = [] } = jsonOf(body);
    const next = String(nextPageToken) || undefined;
    if (!Array.isArray(items) || !Array.isArray(prefixes))
      throw invalidAnswer("no list of objects", body);
    if (next !== undefined && next === pageToken)
      throw invalidAnswer("a list without an end", body);
    const entries = items.map((item: Json) => {
      const entry = readEntry(item, body);
      if (!entry.key.startsWith(query.prefix))
        throw invalidAnswer("a list of another prefix", body);
      return entry;
    });
    return { entries, folders: folderNames(prefixes.map(String), query.prefix), next };
  }

  return {
    head,
    get: read,
    put,
    remove,
    extendRetention,
    list(prefix, repeat, call) {
      const query = { prefix, fields: `items(${described}),nextPageToken` };
      return eachPage(repeat, call.signal, (token) => page(query, token, call, readObject));
    },
    folders(prefix, repeat, call) {
      const query = { prefix, fields: `items(${described}),prefixes,nextPageToken` };
      return eachPage(repeat, call.signal, async (token) => {
        const { folders, next } = await page(query, token, call, readObject);
        return { entries: folders, next };
      });
    },
    getVersion: (version, range, errors, call) =>
      read(version.key, range, errors, call, { generation: version.version }),
    async requireVersions({ signal }) {
      const { body } = await client.request({
        operation: "versioning",
        key: "",
        method: "GET",
        url: `${api}?fields=versioning`,
        maxBodyBytes: maxSmallBytes,
        signal,
      });
      const { versioning } = jsonOf(body) as { versioning?: { enabled?: unknown } };
      if (versioning?.enabled === true) return;
      throw new UnsupportedError(
        "DM_STORE_NOT_VERSIONED",
        `bucket ${bucket} keeps no versions: there is no earlier state of it to be seen`,
        { bucket },
      );
    },
    versions(prefix: string, repeat: Repeat, call: ObjectCall) {
      const fields = `items(${described},generation,timeDeleted),nextPageToken`;
      const query = { prefix, versions: "true", fields };
      return eachPage(repeat, call.signal, (token) => page(query, token, call, readVersion));
    },
  };
}

/** An object that is not there; for bytes the service says so in one line of text. */
const isMissing = (fault: Fault): boolean => fault.status === 404 && !bucketMissing(fault);

const utf8 = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Metadata and bytes in one body (`multipart/related`); the boundary cannot be guessed by who makes the bytes. */
function related(metadata: Json, data: Uint8Array) {
  const boundary = crypto.randomUUID();
  const part = (type: string): string => `--${boundary}\r\ncontent-type: ${type}\r\n\r\n`;
  const text = new TextEncoder();
  const head = `${part("application/json; charset=UTF-8")}${JSON.stringify(metadata)}\r\n`;
  const body = concatBytes(
    text.encode(head + part("application/x-kopia")),
    data,
    text.encode(`\r\n--${boundary}--\r\n`),
  );
  return { headers: { "content-type": `multipart/related; boundary=${boundary}` }, body };
}

/** To the second, never shorter than asked. Kopia locks in either mode. */
function lockedUntil({ periodMs }: Retention, nowMs: number): Json {
  const until = new Date(Math.ceil((nowMs + periodMs) / 1000) * 1000).toISOString();
  return { mode: "Locked", retainUntilTime: until.replace(".000Z", "Z") };
}

/** To a change the service answers with the object's name; anybody else has changed nothing. */
function requireNamed(body: Uint8Array, key: string): void {
  if (jsonOf(body)["name"] !== key) throw invalidAnswer("about another object", body);
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw invalidAnswer("no JSON", body);
  }
}

function jsonOf(body: Uint8Array): Json {
  const value = parseJson(body);
  if (typeof value === "object" && value !== null) return value as Json;
  throw invalidAnswer("no JSON object", body);
}

function readObject(item: Json, body: Uint8Array): StoredObject {
  const { metadata, name, size, timeCreated } = item;
  const length = contentLength(typeof size === "string" ? size : undefined);
  const recorded = (metadata as Readonly<Record<string, unknown>> | null | undefined)?.[timeName];
  const timestampNs =
    recordedTimeNs(typeof recorded === "string" ? recorded : undefined) ?? exactTimeNs(timeCreated);
  if (typeof name !== "string" || length === undefined || timestampNs === undefined) {
    throw invalidAnswer("an object without a name, length or time", body);
  }
  return { key: name, length, timestampNs };
}

function readVersion(item: Json, body: Uint8Array): ObjectVersion {
  const { generation, timeCreated, timeDeleted } = item;
  const sinceNs = exactTimeNs(timeCreated);
  if (typeof generation !== "string" || sinceNs === undefined) {
    throw invalidAnswer("a version without a generation or time", body);
  }
  const untilNs = exactTimeNs(timeDeleted);
  return { ...readObject(item, body), version: generation, sinceNs, untilNs, deleted: false };
}
