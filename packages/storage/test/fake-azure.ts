/**
 * Azure's Blob service as far as the store uses it: one account `acct`, one container `blobs`.
 * Proof: test/azure-store.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { type AzureStoreOptions, azureAccountKey, azureStore } from "../src/azure.ts";
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

export function azureError(status: number, code: string, message = "", detail = ""): Answer {
  const more = detail && `<AuthenticationErrorDetail>${detail}</AuthenticationErrorDetail>`;
  return {
    status,
    headers: { "x-ms-error-code": code, "content-type": "application/xml" },
    body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${message}\nRequestId:1</Message>${more}</Error>`,
  };
}

export const startFakeAzure = (): Promise<Fake> =>
  startFake((seen, fake) => {
    const own = answer(seen, fake);
    return { ...own, headers: { "x-ms-request-id": "1", ...own.headers } };
  });

/** A store on it, by the account's key if not by other options. */
export const azureOn = (fake: Fake, options: Partial<AzureStoreOptions> = {}): BlobStore =>
  azureStore({
    account: "acct",
    container: "blobs",
    endpoint: `${fake.url}/acct`,
    credentials: azureAccountKey("acct", "c2VjcmV0LWtleQ=="),
    prefix: "k/",
    retries: { attempts: 4, firstDelayMs: 1, maxDelayMs: 5 },
    ...options,
  });

function answer(seen: Seen, fake: Fake): Answer {
  const { headers, method, url } = seen;
  const refused = refusal(seen, fake);
  if (refused) return refused;
  const [, account, container, ...rest] = url.pathname.split("/");
  if (account !== "acct") return azureError(404, "ResourceNotFound");
  if (container !== "blobs") return azureError(404, "ContainerNotFound", "no such container");
  const key = rest.map(decodeURIComponent).join("/");
  const query = url.searchParams;
  if (key === "") return list(query, fake);
  const current = fake.current(key);
  const version = query.has("versionid")
    ? fake.versions.find((v) => v.key === key && versionName(v) === query.get("versionid"))
    : current;
  if (method === "PUT" && query.get("comp") === "immutabilityPolicies") {
    if (!current) return azureError(404, "BlobNotFound");
    return lock(current, headers, fake) ?? { status: 200 };
  }
  if (method === "PUT") return put(key, seen, fake);
  if (!version) return azureError(404, "BlobNotFound", "no such blob");
  if (method === "DELETE" && query.get("comp") === "immutabilityPolicies") {
    if (version.mode === "Locked") return azureError(409, "BlobImmutableDueToPolicy");
    delete version.lockedUntilMs;
    return { status: 200 };
  }
  if (method === "DELETE") {
    if ((version.lockedUntilMs ?? 0) > fake.nowMs()) {
      return azureError(409, "BlobImmutableDueToPolicy", "kept by a policy");
    }
    if (query.has("versionid")) fake.versions.splice(fake.versions.indexOf(version), 1);
    else fake.remove(key);
    return { status: 202 };
  }
  const found = {
    "last-modified": new Date(version.createdAtMs).toUTCString(),
    ...Object.fromEntries(
      Object.entries(version.metadata).map(([name, value]) => [`x-ms-meta-${name}`, value]),
    ),
  };
  if (method === "HEAD") {
    return { status: 200, headers: { ...found, "content-length": String(version.data.length) } };
  }
  const unsatisfied = azureError(416, "InvalidRange", "no such range");
  return ranged(headers.range, { headers: found, body: version.data }, unsatisfied);
}

function refusal({ headers, url }: Seen, fake: Fake): Answer | undefined {
  const skewMs = Date.parse(String(headers["x-ms-date"])) - fake.nowMs();
  const { authorization } = headers;
  if (authorization?.startsWith("SharedKey") && !(Math.abs(skewMs) < 900_000)) {
    const refused = azureError(403, "AuthenticationFailed", "", "Request date header too old");
    const date = new Date(fake.nowMs()).toUTCString();
    return { ...refused, headers: { ...refused.headers, date } };
  }
  if (fake.accepted.size === 0) return undefined;
  const token = authorization?.replace(/^Bearer /, "") ?? url.searchParams.get("sig") ?? "";
  if (fake.accepted.has(token)) return undefined;
  if (authorization) {
    const message = "Lifetime validation failed. The token is expired.";
    return azureError(401, "InvalidAuthenticationInfo", message);
  }
  const detail = "Signature not valid in the specified time frame: Start [..] - Expiry [..]";
  return azureError(403, "AuthenticationFailed", "Server failed to authenticate", detail);
}

function put(key: string, { body, headers }: Seen, fake: Fake): Answer {
  if (headers["x-ms-blob-type"] !== "BlockBlob") return azureError(400, "InvalidHeaderValue");
  if (headers["content-md5"] !== createHash("md5").update(body).digest("base64")) {
    return azureError(400, "Md5Mismatch");
  }
  const old = fake.current(key);
  if (old && headers["if-none-match"] === "*") return azureError(409, "BlobAlreadyExists");
  if (old && !fake.versioned && (old.lockedUntilMs ?? 0) > fake.nowMs()) {
    return azureError(409, "BlobImmutableDueToPolicy");
  }
  const metadata = Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => name.startsWith("x-ms-meta-"))
      .map(([name, value]) => [name.slice("x-ms-meta-".length), String(value)]),
  );
  if (headers["x-ms-immutability-policy-mode"] && !fake.retention) {
    return azureError(409, "VersionLevelWormNotEnabled", "immutable storage is not enabled");
  }
  const stored = fake.store(key, body, metadata);
  lock(stored, headers, fake);
  return { status: 201, headers: { "x-ms-version-id": versionName(stored) } };
}

function lock(version: Version, headers: Seen["headers"], fake: Fake): Answer | undefined {
  const mode = headers["x-ms-immutability-policy-mode"];
  if (!mode) return undefined;
  if (!fake.retention) return azureError(409, "VersionLevelWormNotEnabled", "immutable storage");
  version.mode = String(mode);
  version.lockedUntilMs = Date.parse(String(headers["x-ms-immutability-policy-until-date"]));
  return undefined;
}

export const versionName = (version: Version): string =>
  new Date(version.createdAtMs).toISOString().replace("Z", "0000Z");

interface Entry {
  readonly version: Version;
  readonly name?: string | undefined;
  readonly versionsOnly: boolean;
}

function list(query: URLSearchParams, fake: Fake): Answer {
  const prefix = query.get("prefix") ?? "";
  const folders = foldersOf(fake, prefix)
    .map((name) => `<BlobPrefix><Name>${name}</Name></BlobPrefix>`)
    .join("");
  const withVersions = query.get("include")?.includes("versions") ?? false;
  const entries: Entry[] = fake.versions
    .filter(({ key }) => key.startsWith(prefix) && !key.slice(prefix.length).includes("/"))
    .filter(({ deletedAtMs }) => withVersions || deletedAtMs === undefined)
    .flatMap((version, index, all) => {
      const plain = { version, versionsOnly: false };
      const isLast = all[index + 1]?.key !== version.key;
      if (!withVersions || !isLast || version.deletedAtMs === undefined) return [plain];
      // A deletion shows as an entry with its own version and the properties of the one before.
      const name = new Date(version.deletedAtMs).toISOString().replace("Z", "0000Z");
      return [plain, { version, name, versionsOnly: true }];
    });
  const from = Number(query.get("marker") ?? 0);
  const size = Math.min(fake.pageEntries, Number(query.get("maxresults")));
  const shown = entries.slice(from, from + size).map(({ version, name, versionsOnly }) => {
    const metadata = Object.entries(version.metadata)
      .map(([meta, value]) => `<${meta}>${value}</${meta}>`)
      .join("");
    const id = fake.versioned ? `<VersionId>${name ?? versionName(version)}</VersionId>` : "";
    const only = versionsOnly ? "<HasVersionsOnly>true</HasVersionsOnly>" : "";
    const modified = new Date(version.createdAtMs).toUTCString();
    return (
      `<Blob><Name>${version.key}</Name>${withVersions ? id : ""}${only}<Properties><Last-Modified>${modified}</Last-Modified>` +
      `<Content-Length>${version.data.length}</Content-Length></Properties><Metadata>${metadata}</Metadata></Blob>`
    );
  });
  const next = from + size < entries.length ? String(from + size) : "";
  return {
    status: 200,
    headers: { "content-type": "application/xml" },
    body:
      `\uFEFF<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://fake/" ContainerName="blobs">` +
      `<Blobs>${shown.join("")}${from === 0 ? folders : ""}</Blobs><NextMarker>${next}</NextMarker></EnumerationResults>`,
  };
}
