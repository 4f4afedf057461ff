/**
 * Tokens of Microsoft Entra for the Blob service: by the token of a service account (workload identity), by a client's secret or
 * certificate, or by the machine's own identity. Each is one POST or GET.
 * Proof: test/azure-credentials.test.ts.
 * @module
 */

import {
  AccessError,
  type Clock,
  fromBase64,
  nodeBuiltin,
  nsPerMs,
  StorageError,
  systemClock,
  toBase64Url,
} from "@dm/core";
import { printable } from "../http/api-client.ts";
import { type AccessToken, refreshingToken, type TokenProvider } from "../http/bearer-token.ts";
import { fetchTransport } from "../http/fetch-transport.ts";
import type { HttpRequest, HttpResponse, HttpTransport } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { nodeTransport } from "../http/node-transport.ts";
import { optionalPeer } from "../http/optional-peer.ts";
import { encodeQuery } from "../http/percent-encoding.ts";
import { credentialsMissing, processEnvironment } from "../http/surroundings.ts";
import { repeating } from "../retrying.ts";

export interface EntraOptions {
  /** Where tokens are given; `AZURE_AUTHORITY_HOST` or the public cloud's by default. */
  readonly authorityHost?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly transport?: HttpTransport | undefined;
  readonly clock?: Clock | undefined;
}

export interface EntraClientOptions extends EntraOptions {
  readonly tenantId: string;
  readonly clientId: string;
}

export interface WorkloadIdentityOptions extends EntraClientOptions {
  /** Gives the service account's token anew for each exchange: the kubelet rotates the file. */
  readonly token: () => Promise<string>;
}

/** The same resource in all clouds. */
const resource = "https://storage.azure.com/";
const publicAuthority = "https://login.microsoftonline.com/";
const metadataService = "http://169.254.169.254";
const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/** Workload identity: the token of a Kubernetes service account for one of Entra. */
export function azureWorkloadIdentity(options: WorkloadIdentityOptions): TokenProvider {
  const exchange = tokenEndpoint(options);
  return refreshingToken(async () => {
    let token: string;
    try {
      token = (await options.token()).trim();
    } catch (error) {
      const code = (error as { code?: string }).code ?? "unreadable";
      throw credentialsMissing(`the federated token cannot be read (${code})`);
    }
    if (token === "") throw credentialsMissing("the federated token is empty");
    return exchange({ client_assertion_type: jwtBearer, client_assertion: token });
  }, options);
}

/** A service principal by its secret. */
export function azureClientSecret(
  options: EntraClientOptions & { readonly clientSecret: string },
): TokenProvider {
  const exchange = tokenEndpoint(options);
  return refreshingToken(() => exchange({ client_secret: options.clientSecret }), options);
}

/**
 * A service principal by its certificate: PEM with the certificate and its private key (RSA). Needs the package `jose`.
 * @throws {AccessError} `DM_STORE_CREDENTIALS_INVALID` from the provider, when the PEM has no such pair
 */
export function azureClientCertificate(
  options: EntraClientOptions & { readonly certificate: string },
): TokenProvider {
  const exchange = tokenEndpoint(options);
  const { clientId, clock = systemClock } = options;
  return refreshingToken(async () => {
    const audience = tokenUrl(options);
    const assertion = await signedAssertion(options.certificate, clientId, audience, clock);
    return exchange({ client_assertion_type: jwtBearer, client_assertion: assertion });
  }, options);
}

export interface ManagedIdentityOptions extends EntraOptions {
  /** Of a user-assigned identity; the system-assigned one without it. */
  readonly clientId?: string | undefined;
  /** Of the instance metadata service; for tests. */
  readonly endpoint?: string | undefined;
}

/** The identity that the machine or the node has (instance metadata service). */
export function azureManagedIdentity(options: ManagedIdentityOptions = {}): TokenProvider {
  const { clientId, clock = systemClock, endpoint = metadataService } = options;
  const ask = asking(options, "the machine's identity");
  const query = encodeQuery({
    "api-version": "2018-02-01",
    resource,
    ...(clientId ? { client_id: clientId } : {}),
  });
  return refreshingToken(
    () =>
      ask({
        method: "GET",
        url: `${endpoint}/metadata/identity/oauth2/token?${query}`,
        headers: { metadata: "true" },
      }),
    { clock },
  );
}

type Parameters = Readonly<Record<string, string>>;

const tokenUrl = ({
  authorityHost,
  environment = processEnvironment(),
  tenantId,
}: EntraClientOptions) => {
  const host = authorityHost || environment.AZURE_AUTHORITY_HOST || publicAuthority;
  return new URL(`${encodeURIComponent(tenantId)}/oauth2/v2.0/token`, host.replace(/\/*$/, "/"))
    .href;
};

function tokenEndpoint(options: EntraClientOptions): (proof: Parameters) => Promise<AccessToken> {
  const ask = asking(options, `client ${options.clientId} of tenant ${options.tenantId}`);
  return (proof) => {
    const form = encodeQuery({
      client_id: options.clientId,
      grant_type: "client_credentials",
      scope: `${resource}.default`,
      ...proof,
    });
    return ask({
      method: "POST",
      url: tokenUrl(options),
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new TextEncoder().encode(form),
    });
  };
}

function asking(
  options: EntraOptions,
  who: string,
): (request: Pick<HttpRequest, "method" | "url" | "headers" | "body">) => Promise<AccessToken> {
  const { clock = systemClock, environment } = options;
  const transport = options.transport ?? nodeTransport({ environment }) ?? fetchTransport();
  const repeat = repeating({ attempts: 5, clock });
  return (request) =>
    repeat(undefined, async () => {
      const limits = { maxBodyBytes: 256 << 10, timeoutMs: 30_000 };
      const response = await transport.send({ ...request, ...limits });
      if (response.status !== 200) throw refusedToken(response, who);
      return readToken(response, Number(clock.nowNs() / nsPerMs));
    });
}

function refusedToken({ status, body }: HttpResponse, who: string): Error {
  const { error = "", error_description: description = "" } = jsonObject(body) ?? {};
  // The description's first line says what is wrong; what follows are traces. Neither quotes a secret.
  const said = printable(`${String(error)}: ${String(description).split(/\r?\n/)[0]}`);
  const details = { status, error: printable(String(error)) };
  if (status >= 500 || status === 429 || status === 410) {
    const text = `no token for ${who}: status ${status}`;
    return new StorageError("DM_STORE_FAILED", text, details, { retryable: true });
  }
  const text = `a token for ${who} was refused (${error === "" ? `status ${status}` : said})`;
  return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, details);
}

function readToken({ body }: HttpResponse, nowMs: number): AccessToken {
  const { access_token: token, expires_in: seconds } = jsonObject(body) ?? {};
  if (typeof token !== "string" || token === "") throw invalidAnswer("no access token", body);
  const lifeMs = Number(seconds) * 1000;
  return { token, ...(lifeMs > 0 ? { expiresAtMs: nowMs + lifeMs } : {}) };
}

function jsonObject(body: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A JWT that the client signs with its certificate's key, ten minutes long. */
async function signedAssertion(
  pem: string,
  clientId: string,
  audience: string,
  clock: Clock,
): Promise<string> {
  const certificate = pemBlock(pem, "CERTIFICATE");
  const key = /-----BEGIN (?:RSA )?PRIVATE KEY-----[\s\S]+?-----END (?:RSA )?PRIVATE KEY-----/.exec(
    pem,
  )?.[0];
  if (!certificate || !key) {
    const text =
      "the client certificate is no PEM with a certificate and its unencrypted private key";
    throw new AccessError("DM_STORE_CREDENTIALS_INVALID", text, {});
  }
  const { importPKCS8, SignJWT } = await optionalPeer("jose", () => import("jose"));
  const nodeCrypto = nodeBuiltin<typeof import("node:crypto")>("node:crypto");
  const thumbprint = new Uint8Array(await crypto.subtle.digest("SHA-1", certificate));
  const nowSeconds = Number(clock.nowNs() / nsPerMs / 1000n);
  try {
    // The older form of RSA keys is turned into the one that everybody reads.
    const pkcs8 = nodeCrypto
      ? nodeCrypto.createPrivateKey(key).export({ type: "pkcs8", format: "pem" }).toString()
      : key;
    return await new SignJWT({})
      .setProtectedHeader({
        alg: "RS256",
        typ: "JWT",
        x5t: toBase64Url(thumbprint),
      })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(audience)
      .setJti(crypto.randomUUID())
      .setNotBefore(nowSeconds)
      .setExpirationTime(nowSeconds + 600)
      .sign(await importPKCS8(pkcs8, "RS256"));
  } catch {
    // What the libraries say may quote the key.
    const text = "the private key beside the client certificate cannot be used: it must be RSA";
    throw new AccessError("DM_STORE_CREDENTIALS_INVALID", text, {});
  }
}

function pemBlock(pem: string, label: string): Uint8Array<ArrayBuffer> | undefined {
  const found = new RegExp(`-----BEGIN ${label}-----([\\s\\S]+?)-----END ${label}-----`).exec(pem);
  try {
    return found?.[1] === undefined
      ? undefined
      : new Uint8Array(fromBase64(found[1].replace(/\s/g, "")));
  } catch {
    return undefined;
  }
}
