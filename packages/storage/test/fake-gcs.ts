/**
 * Google's JSON API for objects as far as the store uses it: one bucket `blobs`.
 * Proof: test/gcs-store.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { type GcsStoreOptions, gcsStore } from "../src/gcs.ts";
import type { BlobStore } from "../src/index.ts";
import {
  type Answer,
  type Fake,
  foldersOf,
  ranged,
  type Seen,
  startFake,
  type Version,
} from "./fake-service.ts";

export function gcsError(status: number, reason: string, message: string): Answer {
  return {
    status,
    headers: { "content-type": "application/json; charset=UTF-8" },
    body: JSON.stringify({ error: { code: status, message, errors: [{ message, reason }] } }),
  };
}

const text = (status: number, body: string): Answer => ({
  status,
  headers: { "content-type": "text/html; charset=UTF-8" },
  body,
});

const json = (value: unknown): Answer => ({
  status: 200,
  headers: { "content-type": "application/json; charset=UTF-8" },
  body: JSON.stringify(value),
});

export const startFakeGcs = (): Promise<Fake> => startFake(answer);

/** A store on it, without a token if not by other options. */
export const gcsOn = (fake: Fake, options: Partial<GcsStoreOptions> = {}): BlobStore =>
  gcsStore({
    bucket: "blobs",
    endpoint: fake.url,
    prefix: "k/",
    retries: { attempts: 4, firstDelayMs: 1, maxDelayMs: 5 },
    ...options,
  });

const noBucket = "The specified bucket does not exist.";

function answer(seen: Seen, fake: Fake): Answer {
  const { headers, method, url } = seen;
  const query = url.searchParams;
  const isMedia = query.get("alt") === "media";
  const token = headers.authorization?.replace(/^Bearer /, "") ?? "";
  if (fake.accepted.size > 0 && !fake.accepted.has(token)) {
    return gcsError(401, "authError", "Invalid Credentials");
  }
  const [, bucket, , object] =
    /^\/(?:upload\/)?storage\/v1\/b\/([^/]+)(\/o(?:\/([^/]+))?)?$/.exec(url.pathname) ?? [];
  if (bucket !== "blobs") {
    return isMedia ? text(404, noBucket) : gcsError(404, "notFound", noBucket);
  }
  if (!url.pathname.includes("/o")) return json({ versioning: { enabled: fake.versioned } });
  if (url.pathname.startsWith("/upload/")) return insert(seen, fake);
  if (object === undefined) return list(query, fake);
  const key = decodeURIComponent(object);
  const generation = query.get("generation");
  const version =
    generation === null
      ? fake.current(key)
      : fake.versions.find((v) => v.key === key && String(v.number) === generation);
  if (!version) {
    const message = `No such object: blobs/${key}`;
    return isMedia ? text(404, message) : gcsError(404, "notFound", message);
  }
  if (method === "GET" && isMedia) {
    return ranged(
      headers.range,
      { body: version.data, headers: { "x-goog-generation": String(version.number) } },
      text(416, "The requested range cannot be satisfied."),
    );
  }
  if (method === "GET") return json(described(version));
  if (method === "DELETE") {
    if (!fake.versioned && (version.lockedUntilMs ?? 0) > fake.nowMs()) {
      return gcsError(403, "retentionPolicyNotMet", "Object 'x' is under active retention");
    }
    fake.remove(key);
    return { status: 204 };
  }
  const { retention } = JSON.parse(seen.body.toString()) as Inserted;
  return lock(version, retention, fake) ?? json(described(version));
}

interface Inserted {
  readonly name?: string;
  readonly md5Hash?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retention?: { readonly mode: string; readonly retainUntilTime: string };
}

function insert({ body, headers, url }: Seen, fake: Fake): Answer {
  const boundary = /boundary=(.+)$/.exec(headers["content-type"] ?? "")?.[1];
  if (!boundary) return gcsError(400, "badContent", "no boundary");
  const separator = `--${boundary}`;
  const second = body.indexOf(separator, separator.length);
  const last = body.lastIndexOf(`\r\n${separator}--`);
  const head = body.subarray(0, second).toString();
  const resource = JSON.parse(head.slice(head.indexOf("\r\n\r\n"))) as Inserted;
  const data = body.subarray(body.indexOf("\r\n\r\n", second) + 4, last);
  if (resource.md5Hash !== createHash("md5").update(data).digest("base64")) {
    return gcsError(400, "invalid", "Provided MD5 hash does not match the calculated MD5 hash");
  }
  const key = resource.name ?? "";
  const old = fake.current(key);
  if (old && url.searchParams.get("ifGenerationMatch") === "0") {
    return gcsError(412, "conditionNotMet", "At least one of the pre-conditions did not hold.");
  }
  if (resource.retention && !fake.retention) {
    return gcsError(400, "invalid", "Object retention is not enabled on this bucket");
  }
  const stored = fake.store(key, Uint8Array.from(data), resource.metadata ?? {});
  lock(stored, resource.retention, fake);
  return json({ name: key });
}

function lock(version: Version, retention: Inserted["retention"], fake: Fake): Answer | undefined {
  if (!retention) return undefined;
  if (!fake.retention) return gcsError(400, "invalid", "Object retention is not enabled");
  version.mode = retention.mode;
  version.lockedUntilMs = Date.parse(retention.retainUntilTime);
  return undefined;
}

function described(version: Version): object {
  return {
    name: version.key,
    size: String(version.data.length),
    timeCreated: new Date(version.createdAtMs).toISOString(),
    generation: String(version.number),
    ...(Object.keys(version.metadata).length > 0 ? { metadata: version.metadata } : {}),
    ...(version.deletedAtMs ? { timeDeleted: new Date(version.deletedAtMs).toISOString() } : {}),
  };
}

function list(query: URLSearchParams, fake: Fake): Answer {
  const prefix = query.get("prefix") ?? "";
  const prefixes = foldersOf(fake, prefix);
  const entries = fake.versions
    .filter(({ key }) => key.startsWith(prefix) && !key.slice(prefix.length).includes("/"))
    .filter(({ deletedAtMs }) => query.get("versions") === "true" || deletedAtMs === undefined);
  const from = Number(query.get("pageToken") ?? 0);
  const size = Math.min(fake.pageEntries, Number(query.get("maxResults")));
  const items = entries.slice(from, from + size).map(described);
  const more = from + size < entries.length;
  return json({
    ...(items.length > 0 ? { items } : {}),
    ...(prefixes.length > 0 && from === 0 ? { prefixes } : {}),
    ...(more ? { nextPageToken: String(from + size) } : {}),
  });
}
