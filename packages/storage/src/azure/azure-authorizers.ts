/**
 * The ways to prove to Azure who asks: the account's key, a shared access signature, a token of Microsoft Entra. A key
 * signs with HMAC-SHA256 over the canonical form of the request ("Shared Key", as the Blob service documents it).
 * Proof: test/azure-credentials.test.ts, test/azure.azurite.test.ts.
 * @module
 */

import { fromBase64, toBase64 } from "@dm/core";
import type { Authorizer, PlainRequest } from "../http/api-client.ts";
import { bearerAuthorizer, refreshingToken, type TokenProvider } from "../http/bearer-token.ts";
import { encodeQuery } from "../http/percent-encoding.ts";
import { credentialsMissing } from "../http/surroundings.ts";

/** Of the Blob service; the first with immutable versions is 2020-06-12. */
export const apiVersion = "2021-12-02";

/**
 * Signs with an account key (base64, as the portal shows it).
 * @throws {TypeError} when the key is no base64; the message does not quote it
 * @example azureAccountKey("backups", process.env.AZURE_STORAGE_KEY)
 */
export function azureAccountKey(account: string, key: string): Authorizer {
  let secret: Uint8Array;
  try {
    secret = fromBase64(key);
  } catch {
    throw new TypeError("the account key is not base64");
  }
  let imported: Promise<CryptoKey> | undefined;
  async function sign(text: string): Promise<string> {
    if (secret.length === 0) throw credentialsMissing("the account key is empty");
    imported ??= crypto.subtle.importKey(
      "raw",
      secret as Uint8Array<ArrayBuffer>,
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["sign"],
    );
    const bytes = new TextEncoder().encode(text);
    return toBase64(new Uint8Array(await crypto.subtle.sign("HMAC", await imported, bytes)));
  }
  return {
    async authorize(request, { nowMs }) {
      const headers = versioned(request.headers, nowMs);
      const signature = await sign(stringToSign(account, { ...request, headers }));
      const authorization = `SharedKey ${account}:${signature}`;
      return { url: request.url, headers: { ...headers, authorization }, proof: "key" };
    },
    async signUrl(url, { lifetimeMs, nowMs }) {
      const expiry = new Date(nowMs + lifetimeMs).toISOString().replace(/\.\d+Z$/, "Z");
      const { hostname, pathname, protocol } = new URL(url);
      const allowed = protocol === "https:" ? "https" : "https,http";
      const name = decodeURIComponent(pathname);
      // Emulators have the account in the path.
      const isInPath = !hostname.startsWith(`${account}.`) && name.startsWith(`/${account}/`);
      const own = isInPath ? name : `/${account}${name}`;
      const signature = await sign(
        blobSignatureText({ path: own, expiry, allowed, version: apiVersion }),
      );
      const query = { sv: apiVersion, spr: allowed, se: expiry, sr: "b", sp: "r", sig: signature };
      return `${url}?${encodeQuery(query)}`;
    },
  };
}

/**
 * Adds a shared access signature (with or without its question mark) to every URL. A function is asked again when the server
 * refuses what it gave.
 * @example azureSharedAccessSignature("sv=2024-11-04&ss=b&srt=co&sp=rwdl&se=…&sig=…")
 */
export function azureSharedAccessSignature(token: string | (() => Promise<string>)): Authorizer {
  const load = typeof token === "string" ? async () => token : token;
  const provider = refreshingToken(async () => {
    const signature = (await load()).trim().replace(/^\?/, "");
    if (signature === "") throw credentialsMissing("the shared access signature is empty");
    return { token: signature };
  });
  return {
    async authorize({ headers, url }, { nowMs, rejected }) {
      const signature = await provider.token({ rejected });
      return {
        url: `${url}${url.includes("?") ? "&" : "?"}${signature.token}`,
        headers: versioned(headers, nowMs),
        proof: signature.token,
      };
    },
  };
}

/** Sends a token of Microsoft Entra; see `azureWorkloadIdentity` and its like. */
export function azureToken(provider: TokenProvider): Authorizer {
  const bearer = bearerAuthorizer(provider);
  return {
    authorize: (request, context) =>
      bearer.authorize({ ...request, headers: versioned(request.headers, context.nowMs) }, context),
  };
}

function versioned(
  headers: Readonly<Record<string, string>>,
  nowMs: number,
): Readonly<Record<string, string>> {
  return { ...headers, "x-ms-date": new Date(nowMs).toUTCString(), "x-ms-version": apiVersion };
}

/** What a service signature for reading one blob covers, in the order of the version 2020-12-06 and later. */
function blobSignatureText(given: {
  readonly path: string;
  readonly expiry: string;
  readonly allowed: string;
  readonly version: string;
}): string {
  const { allowed, expiry, path, version } = given;
  const before = ["r", "", expiry, `/blob${path}`, "", "", allowed, version, "b"];
  const [snapshot, scope, ...answerHeaders] = ["", "", "", "", "", "", ""];
  return [...before, snapshot, scope, ...answerHeaders].join("\n");
}

/** Headers that are signed by their values alone, in this order; `date` stays empty beside `x-ms-date`. */
const positional = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  "date",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
];

function stringToSign(account: string, { body, headers, method, url }: PlainRequest): string {
  const { pathname, searchParams } = new URL(url);
  const length = body && body.length > 0 ? String(body.length) : "";
  const values = positional.map((name) =>
    name === "content-length" ? length : (headers[name] ?? ""),
  );
  const own = Object.keys(headers)
    .filter((name) => name.startsWith("x-ms-"))
    .sort()
    .map((name) => `${name}:${headers[name]?.trim()}`);
  const query = [...searchParams.keys()]
    .sort()
    .map((name) => `${name.toLowerCase()}:${searchParams.getAll(name).sort().join(",")}`);
  return [
    method,
    ...values,
    ...own,
    `/${account}${pathname}${query.map((q) => `\n${q}`).join("")}`,
  ].join("\n");
}
