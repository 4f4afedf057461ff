/**
 * The few requests of the Blob service that a repository needs, by whole keys. Every blob is one block blob, put at once.
 * Proof: test/azure-store.test.ts, test/azure-faults.test.ts, test/azure.azurite.test.ts.
 * @module
 */

import { UnsupportedError } from "@dm/core";
import type { Retention } from "../blob-store.ts";
import { type ApiClient, type ApiRequest, type Fault, notAnswered } from "../http/api-client.ts";
import { md5Base64 } from "../http/digests.ts";
import { contentLength, type HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import {
  type ByteRange,
  eachPage,
  exactTimeNs,
  folderNames,
  type ObjectCall,
  type ObjectErrors,
  type ReadableObjects,
  recordedTimeNs,
  type StoredObject,
  type WritableObjects,
} from "../http/object-store.ts";
import type { ObjectVersion, VersionedObjects } from "../http/object-versions.ts";
import { encodeComponent, encodeQuery } from "../http/percent-encoding.ts";
import { rangedGet } from "../http/ranged-get.ts";
import { childText, parseXml, type XmlElement } from "../http/xml.ts";
import type { Repeat } from "../retrying.ts";

/** The service gives pages of 5000; a thousand are enough, and their elements stay within what we parse. */
const pageEntries = 1000;
const maxPageBytes = 16 << 20;
const maxSmallBytes = 64 << 10;
/** Every answer of the service has them, and nobody else's. A browser sees those that CORS exposes. */
const ownHeaders = ["x-ms-request-id", "x-ms-version"];
/** Metadata in which Kopia records a time. It writes `Kopiamtime`, and reads this from lists: names have no case in HTTP. */
const timeHeader = "x-ms-meta-kopiamtime";
const timeElement = "kopiamtime";

type Query = Readonly<Record<string, string>>;

export type AzureObjects = ReadableObjects & WritableObjects & VersionedObjects;

/** @param containerUrl without a slash at its end */
export function azureObjects(
  client: ApiClient,
  containerUrl: string,
  container: string,
): AzureObjects {
  const urlOf = (key: string, query?: Query): string => {
    const path = key === "" ? "" : `/${key.split("/").map(encodeComponent).join("/")}`;
    return `${containerUrl}${path}${query ? `?${encodeQuery(query)}` : ""}`;
  };

  async function head(
    key: string,
    errors: ObjectErrors,
    { signal }: ObjectCall,
    query?: Query,
  ): Promise<StoredObject> {
    const response = await client.request({
      operation: "stat",
      key,
      method: "HEAD",
      url: urlOf(key, query),
      maxBodyBytes: 0,
      signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
    const length = contentLength(response.header("content-length"));
    const timestampNs = timeOf(response.header(timeHeader), response.header("last-modified") ?? "");
    const isOwn = ownHeaders.some(response.header);
    if (!isOwn || length === undefined || timestampNs === undefined) {
      throw invalidAnswer("not the Blob service's, or without length or time", response.body);
    }
    return { key, length, timestampNs };
  }

  function read(
    key: string,
    range: ByteRange | undefined,
    errors: ObjectErrors,
    { maxBytes, signal }: ObjectCall & { readonly maxBytes: number },
    query?: Query,
  ): Promise<Uint8Array> {
    return rangedGet({
      key,
      range,
      maxBytes,
      signal,
      errors,
      isMissing,
      send: (request) => client.request({ ...request, url: urlOf(key, query) }),
      objectLength: async () => (await head(key, errors, { signal }, query)).length,
    });
  }

  /**
   * A request that changes something. The service answers with just this status, and headers of its own; anything else comes from
   * somebody in its place, and nothing was done.
   */
  async function change(
    status: number,
    request: Omit<ApiRequest, "maxBodyBytes">,
  ): Promise<HttpResponse> {
    const response = await client.request({ ...request, maxBodyBytes: maxSmallBytes });
    const { body, header } = response;
    const isOwn = response.status === status && body.length === 0 && ownHeaders.some(header);
    if (isOwn || response === notAnswered) return response;
    throw invalidAnswer(`status ${response.status}, and not the Blob service's`, body);
  }

  async function put(
    key: string,
    data: Uint8Array,
    options: Parameters<WritableObjects["put"]>[2] & { readonly unlockedMs?: number },
  ): Promise<HttpResponse> {
    const { exists, retention, signal, timestampNs } = options;
    const digest = md5Base64(data);
    return change(201, {
      operation: "put",
      key,
      method: "PUT",
      url: urlOf(key),
      content: (nowMs) => ({
        headers: {
          "content-type": "application/x-kopia",
          "content-md5": digest,
          "x-ms-blob-type": "BlockBlob",
          ...(timestampNs === undefined ? {} : { [timeHeader]: String(timestampNs) }),
          ...(retention ? policy("Locked", retention.periodMs, nowMs) : {}),
          ...(options.unlockedMs ? policy("Unlocked", options.unlockedMs, nowMs) : {}),
          ...(exists ? { "if-none-match": "*" } : {}),
        },
        body: data,
      }),
      signal,
      onFault: ({ code, status }) =>
        exists && (status === 412 || code === "BlobAlreadyExists") ? exists() : undefined,
    });
  }

  const removal = (
    key: string,
    { signal }: ObjectCall,
    query: Query | undefined,
    onFault: (fault: Fault) => HttpResponse | undefined,
  ): Promise<HttpResponse> =>
    change(query?.["comp"] ? 200 : 202, {
      operation: "delete",
      key,
      method: "DELETE",
      url: urlOf(key, query),
      signal,
      onFault: (fault) => (isMissing(fault) ? notAnswered : onFault(fault)),
    });

  async function remove(key: string, call: ObjectCall): Promise<void> {
    let locked = false;
    await removal(key, call, undefined, ({ code }) => {
      if (code !== "BlobImmutableDueToPolicy") return undefined;
      locked = true;
      return notAnswered;
    });
    if (locked) await hide(key, call);
  }

  /**
   * A current version under a locked policy cannot be deleted, but succeeded by an empty one whose policy can be taken away again:
   * that one is deleted, and the locked version stays as an older one until its time is over. Kopia does the same.
   */
  async function hide(key: string, call: ObjectCall): Promise<void> {
    const marker = await put(key, new Uint8Array(0), { ...call, unlockedMs: 60_000 });
    await removal(key, call, { comp: "immutabilityPolicies" }, () => undefined);
    await removal(key, call, undefined, () => undefined);
    const versionid = marker.header("x-ms-version-id");
    // Left over it costs nothing, and it is hidden already.
    if (versionid) await removal(key, call, { versionid }, () => notAnswered);
  }

  async function extendRetention(
    key: string,
    retention: Retention,
    errors: ObjectErrors,
    { signal }: ObjectCall,
  ): Promise<void> {
    await change(200, {
      operation: "extendRetention",
      key,
      method: "PUT",
      url: urlOf(key, { comp: "immutabilityPolicies" }),
      content: (nowMs) => ({ headers: policy("Locked", retention.periodMs, nowMs) }),
      signal,
      onFault: (fault) => (isMissing(fault) ? errors.missing() : undefined),
    });
  }

  async function page(
    operation: string,
    prefix: string,
    include: string,
    marker: string | undefined,
    { signal }: ObjectCall,
  ): Promise<{
    readonly root: XmlElement;
    readonly blobs: XmlElement[];
    readonly folders: string[];
    next: string | undefined;
  }> {
    const query = {
      restype: "container",
      comp: "list",
      delimiter: "/",
      include,
      maxresults: String(pageEntries),
      prefix,
      ...(marker === undefined ? {} : { marker }),
    };
    const { body } = await client.request({
      operation,
      key: "",
      method: "GET",
      url: urlOf("", query),
      maxBodyBytes: maxPageBytes,
      signal,
    });
    const root = parseXml(body);
    const list = root.children.find(({ name }) => name === "Blobs");
    if (root.name !== "EnumerationResults" || !list) throw invalidAnswer("no list of blobs", body);
    const next = childText(root, "NextMarker") || undefined;
    if (next !== undefined && next === marker) throw invalidAnswer("a list without an end", body);
    const blobs = list.children.filter(({ name }) => name === "Blob");
    for (const blob of blobs) {
      if (!childText(blob, "Name")?.startsWith(prefix)) {
        throw invalidAnswer("a list of another prefix", body);
      }
    }
    const rolledUp = list.children
      .filter(({ name }) => name === "BlobPrefix")
      .map((element) => childText(element, "Name") ?? "");
    return { root, blobs, folders: folderNames(rolledUp, prefix), next };
  }

  return {
    head,
    get: read,
    remove,
    extendRetention,
    async put(key, data, options) {
      await put(key, data, options);
    },
    list(prefix, repeat, call) {
      return eachPage(repeat, call.signal, async (marker) => {
        const { blobs, next } = await page("list", prefix, "metadata", marker, call);
        return { entries: blobs.map(listedObject), next };
      });
    },
    folders(prefix, repeat, call) {
      return eachPage(repeat, call.signal, async (marker) => {
        const { folders, next } = await page("list", prefix, "metadata", marker, call);
        return { entries: folders, next };
      });
    },
    getVersion: (version, range, errors, call) =>
      read(version.key, range, errors, call, { versionid: version.version }),
    /** Shown by the entries themselves: without versioning they have no version. */
    async requireVersions() {},
    versions(prefix: string, repeat: Repeat, call: ObjectCall) {
      return eachPage(repeat, call.signal, async (marker) => {
        const include = "metadata,versions,deletedwithversions";
        const { blobs, next } = await page("list of versions", prefix, include, marker, call);
        return { entries: blobs.map((blob) => listedVersion(blob, container)), next };
      });
    },
  };
}

const isMissing = ({ code, status }: Fault): boolean =>
  status === 404 && (code === "BlobNotFound" || code === "ResourceNotFound");

/** To the second, never shorter than asked. */
function policy(mode: "Locked" | "Unlocked", periodMs: number, nowMs: number): Query {
  const until = new Date(Math.ceil((nowMs + periodMs) / 1000) * 1000);
  return {
    "x-ms-immutability-policy-mode": mode,
    "x-ms-immutability-policy-until-date": until.toUTCString(),
  };
}

function timeOf(recorded: string | undefined, modified: string): bigint | undefined {
  const timeNs = recordedTimeNs(recorded);
  if (timeNs !== undefined) return timeNs;
  const timeMs = Date.parse(modified);
  return Number.isNaN(timeMs) ? undefined : BigInt(timeMs) * 1_000_000n;
}

function listedObject(blob: XmlElement): StoredObject {
  const find = (name: string): XmlElement | undefined =>
    blob.children.find((child) => child.name === name);
  const properties = find("Properties");
  const recorded = find("Metadata")?.children.find(
    ({ name }) => name.toLowerCase() === timeElement,
  );
  const length = contentLength(properties && childText(properties, "Content-Length"));
  const modified = (properties && childText(properties, "Last-Modified")) ?? "";
  const timestampNs = timeOf(recorded?.text, modified);
  if (length === undefined || timestampNs === undefined) {
    throw invalidAnswer(
      "a list whose entries have no length or time",
      new TextEncoder().encode("<"),
    );
  }
  return { key: childText(blob, "Name") ?? "", length, timestampNs };
}

function listedVersion(blob: XmlElement, container: string): ObjectVersion {
  const version = childText(blob, "VersionId") ?? "";
  // A version's name is the time at which it was made, to 100 ns.
  const sinceNs = exactTimeNs(version);
  if (sinceNs === undefined) {
    throw new UnsupportedError(
      "DM_STORE_NOT_VERSIONED",
      `container ${container} keeps no versions: there is no earlier state of it to be seen`,
      { container },
    );
  }
  const deleted = childText(blob, "HasVersionsOnly") === "true";
  return { ...listedObject(blob), version, sinceNs, deleted };
}
