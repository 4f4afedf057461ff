/**
 * Tokens for Google Cloud Storage, by `google-auth-library`: service accounts, workload identity federation, users, and whatever
 * the machine has (metadata server). The library is an optional peer, loaded when the first token is needed.
 * Proof: test/gcs-credentials.test.ts.
 * @module
 */

import { AccessError, FormatError, fromBase64, isDmError, StorageError } from "@dm/core";
import { printable } from "../http/api-client.ts";
import {
  type AccessToken,
  refreshingToken,
  type Signer,
  type TokenProvider,
} from "../http/bearer-token.ts";
import { optionalPeer } from "../http/optional-peer.ts";
import { type ReadText, readTextFile } from "../http/surroundings.ts";

export interface GcsCredentialsOptions {
  /** Ask for a token that can only read; false by default. */
  readonly readOnly?: boolean | undefined;
  /** For requests of tokens; the platform's by default. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

const fullControl = "https://www.googleapis.com/auth/devstorage.full_control";
const readOnlyScope = "https://www.googleapis.com/auth/devstorage.read_only";

/** Kinds of credentials that a file may hold; others could run programs, or are of other clouds. */
const acceptedTypes = ["service_account", "external_account", "authorized_user"];

/**
 * Credentials as Google writes them to a JSON file: of a service account, or of workload identity federation.
 * @throws {FormatError} `DM_GCS_CREDENTIALS_INVALID`; the message does not quote them
 */
export function gcsJsonCredentials(
  credentials: unknown,
  options: GcsCredentialsOptions = {},
): TokenProvider {
  const checked = checkedCredentials(credentials);
  return googleTokens(async () => checked, options);
}

/** The same from a file, read again when a server refuses them: mounted secrets are rotated. */
export function gcsFileCredentials(
  path: string,
  options: GcsCredentialsOptions & { readonly readText?: ReadText | undefined } = {},
): TokenProvider {
  const { readText = readTextFile } = options;
  return googleTokens(async () => {
    let text: string;
    try {
      text = await readText(path);
    } catch (error) {
      const code = (error as { code?: string }).code ?? "unreadable";
      throw new AccessError(
        "DM_STORE_CREDENTIALS_MISSING",
        `no credentials: ${path} cannot be read (${code})`,
        { path },
        { cause: error },
      );
    }
    try {
      return checkedCredentials(JSON.parse(text));
    } catch (error) {
      if (isDmError(error)) throw error;
      throw invalidCredentials(`${path} is no JSON`);
    }
  }, options);
}

/**
 * Application default credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, gcloud's, or the identity of the pod
 * or machine (workload identity, metadata server).
 */
export function gcsDefaultCredentials(options: GcsCredentialsOptions = {}): TokenProvider {
  return googleTokens(async () => undefined, options);
}

type GoogleCredentials = Record<string, unknown> & { readonly type: string };
type Library = typeof import("google-auth-library");

function checkedCredentials(value: unknown): GoogleCredentials {
  const credentials = (value ?? {}) as Record<string, unknown>;
  const has = (...names: readonly string[]): void => {
    const missing = names.find((name) => typeof credentials[name] !== "string");
    if (missing !== undefined) throw invalidCredentials(`${missing} is missing`);
  };
  const { credential_source: source, type } = credentials;
  if (type === "service_account") has("client_email", "private_key");
  else if (type === "authorized_user") has("client_id", "client_secret", "refresh_token");
  else if (type === "external_account") {
    has("audience", "subject_token_type", "token_url");
    const { file, url } = (source ?? {}) as Record<string, unknown>;
    if (typeof file !== "string" && typeof url !== "string") {
      throw invalidCredentials("credential_source names no file and no URL");
    }
  } else {
    throw invalidCredentials(`the type is none of ${acceptedTypes.join(", ")}`);
  }
  return value as GoogleCredentials;
}

function invalidCredentials(reason: string): FormatError {
  const text = `these are no credentials of Google: ${reason}`;
  return new FormatError("DM_GCS_CREDENTIALS_INVALID", text, {});
}

function googleTokens(
  load: () => Promise<GoogleCredentials | undefined>,
  { fetch, readOnly = false }: GcsCredentialsOptions,
): TokenProvider {
  const scopes = readOnly ? readOnlyScope : fullControl;
  const transporterOptions = fetch ? { fetchImplementation: fetch } : {};
  // A new client each time: it keeps a token of its own, which a server may have refused.
  const tokens = refreshingToken(async () => {
    const credentials = await load();
    const library = await optionalPeer("google-auth-library", () => import("google-auth-library"));
    try {
      const client = credentials
        ? clientOf(library, credentials, { scopes, transporterOptions })
        : await new library.GoogleAuth({
            scopes,
            clientOptions: { transporterOptions },
          }).getClient();
      const { token } = await client.getAccessToken();
      if (!token) throw new Error("no token");
      const expiresAtMs = client.credentials.expiry_date ?? undefined;
      return { token, expiresAtMs } satisfies AccessToken;
    } catch (error) {
      throw tokenError(error);
    }
  });
  return {
    ...tokens,
    async signer() {
      const credentials = await load();
      return credentials?.type === "service_account" ? keySigner(credentials) : undefined;
    },
  };
}

async function keySigner(credentials: GoogleCredentials): Promise<Signer> {
  const pem = String(credentials["private_key"]);
  const [, base64 = ""] =
    /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/.exec(pem) ?? [];
  let key: CryptoKey;
  try {
    const bytes = fromBase64(base64.replace(/\s/g, "")) as Uint8Array<ArrayBuffer>;
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    key = await crypto.subtle.importKey("pkcs8", bytes, algorithm, false, ["sign"]);
  } catch {
    // The platform's error might quote it.
    throw invalidCredentials("private_key is no key in PKCS #8");
  }
  return {
    email: String(credentials["client_email"]),
    async sign(text) {
      const bytes = new TextEncoder().encode(text);
      return new Uint8Array(await crypto.subtle.sign("RSASSA-PKCS1-v1_5", key, bytes));
    },
  };
}

/** By the library's own classes: its reading of JSON warns on the console, and would take all kinds. */
function clientOf(
  { IdentityPoolClient, JWT, UserRefreshClient }: Library,
  credentials: GoogleCredentials,
  options: { readonly scopes: string; readonly transporterOptions: object },
) {
  const text = (name: string): string => String(credentials[name]);
  if (credentials.type === "service_account") {
    return new JWT({ ...options, email: text("client_email"), key: text("private_key") });
  }
  if (credentials.type === "authorized_user") {
    return new UserRefreshClient({
      ...options,
      clientId: text("client_id"),
      clientSecret: text("client_secret"),
      refreshToken: text("refresh_token"),
    });
  }
  const { scopes, transporterOptions } = options;
  const client = new IdentityPoolClient({
    ...(credentials as unknown as ConstructorParameters<typeof IdentityPoolClient>[0]),
    transporterOptions,
  });
  client.scopes = scopes;
  return client;
}

/** The library's errors carry the request, assertion included: only what the service said is taken out of them. */
function tokenError(error: unknown): Error {
  const { code, message, response } = error as {
    readonly code?: unknown;
    readonly message?: unknown;
    readonly response?: { readonly status?: unknown; readonly data?: unknown };
  };
  const status = typeof response?.status === "number" ? response.status : undefined;
  if (status === undefined) {
    const word = typeof code === "string" ? code : "";
    if (/^(?:ENOENT|EACCES|EISDIR)$/.test(word)) {
      const text = `no credentials: the token file that they name cannot be read (${word})`;
      return new AccessError("DM_STORE_CREDENTIALS_MISSING", text, { code: word });
    }
    if (/^(?:E(?!RR_)|UND_)[A-Z_]+$/.test(word) || /fetch failed|aborted/i.test(String(message))) {
      const text = `the service that gives tokens cannot be reached (${word || "no connection"})`;
      return new StorageError("DM_STORE_UNREACHABLE", text, { code: word }, { retryable: true });
    }
    if (/could not load the default credentials/i.test(String(message))) {
      const text =
        "no credentials: no file was given, GOOGLE_APPLICATION_CREDENTIALS is not set, and this is no machine or pod with an identity";
      return new AccessError("DM_STORE_CREDENTIALS_MISSING", text, {});
    }
    const text = "the credentials cannot be used: does the private key parse?";
    return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, {});
  }
  const { error: word = "", error_description: description = "" } = (
    typeof response?.data === "object" && response.data !== null ? response.data : {}
  ) as Record<string, unknown>;
  const said = printable(`${String(word)} ${String(description)}`) || `status ${status}`;
  if (status >= 500 || status === 429) {
    const text = `no token: ${said}`;
    return new StorageError("DM_STORE_FAILED", text, { status }, { retryable: true });
  }
  if (/reasonable timeframe/i.test(said)) {
    const text = `the clock of this machine is too far from the server's: set it (${said})`;
    return new AccessError("DM_STORE_CLOCK_SKEWED", text, { status });
  }
  const text = `Google refuses these credentials: is the key deleted, or the account disabled? (${said})`;
  return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, { status });
}
