/**
 * Kopia's connection JSON of type `s3`: read, checked, written in Kopia's order, and opened.
 * Format: docs/format/blobs.md. Proof: test/s3-config.test.ts.
 * @module
 */

import { FormatError, fromBase64, utf8Decode } from "@dm/core";
import { pointInTimeOf } from "../connection-members.ts";
import type { HttpTransport } from "../http/http-transport.ts";
import { processEnvironment, type ReadText, readTextFile } from "../http/surroundings.ts";
import {
  type CredentialsProvider,
  environmentCredentials,
  firstCredentials,
  staticCredentials,
  withToken,
} from "./credentials.ts";
import { fileCredentials } from "./credentials-file.ts";
import { assumeRoleCredentials, webIdentityCredentials } from "./credentials-sts.ts";
import type { S3StoreOptions } from "./s3-store.ts";

/** The members that Kopia writes, by its names. Others (throttling limits, newer ones) are kept as they are. */
export interface S3Config {
  readonly bucket: string;
  readonly prefix?: string | undefined;
  /** `host[:port]`. */
  readonly endpoint: string;
  readonly doNotUseTLS?: boolean | undefined;
  readonly doNotVerifyTLS?: boolean | undefined;
  /** PEM in base64. */
  readonly rootCA?: string | undefined;
  readonly accessKeyID?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  readonly webIdentityToken?: string | undefined;
  readonly webIdentityTokenFile?: string | undefined;
  readonly roleARN?: string | undefined;
  readonly sessionName?: string | undefined;
  /** Of the role's credentials, as Go spells durations: `1h0m0s`. */
  readonly duration?: string | undefined;
  readonly roleEndpoint?: string | undefined;
  readonly roleRegion?: string | undefined;
  readonly region?: string | undefined;
  /** RFC 3339. */
  readonly pointInTime?: string | undefined;
  readonly [other: string]: unknown;
}

/** In Kopia's order; the kind, and whether Kopia writes the member also when it is empty. */
const members: ReadonlyArray<readonly [string, "string" | "boolean", boolean]> = [
  ["bucket", "string", true],
  ["prefix", "string", false],
  ["endpoint", "string", true],
  ["doNotUseTLS", "boolean", false],
  ["doNotVerifyTLS", "boolean", false],
  ["rootCA", "string", false],
  ["accessKeyID", "string", true],
  ["secretAccessKey", "string", true],
  ["sessionToken", "string", true],
  ["webIdentityToken", "string", false],
  ["webIdentityTokenFile", "string", false],
  ["roleARN", "string", true],
  ["sessionName", "string", true],
  ["duration", "string", true],
  ["roleEndpoint", "string", true],
  ["roleRegion", "string", true],
  ["region", "string", false],
];

/** Members that are never shown to people. */
export const sensitiveS3Members: readonly string[] = Object.freeze([
  "secretAccessKey",
  "sessionToken",
  "webIdentityToken",
]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_S3_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeS3Config(value: unknown): S3Config {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidConfig("it is no object");
  }
  const config = value as Record<string, unknown>;
  for (const [name, kind] of [...members, ["pointInTime", "string", false] as const]) {
    const member = config[name];
    if (member !== undefined && member !== null && typeof member !== kind) {
      throw invalidConfig(`${name} is no ${kind}`);
    }
  }
  if (!config.bucket) throw invalidConfig("bucket is missing");
  if (!config.endpoint) throw invalidConfig("endpoint is missing");
  durationSeconds(config.duration as string | undefined);
  rootCaOf(config.rootCA as string | undefined);
  pointInTimeOf(config.pointInTime, invalidConfig);
  return config as S3Config;
}

/** The `config` as Kopia writes it: its order, and its empty members. */
export function encodeS3Config(config: S3Config): Record<string, unknown> {
  const { pointInTime, ...rest } = decodeS3Config(config);
  const written: Record<string, unknown> = {};
  for (const [name, kind, always] of members) {
    const value = rest[name] ?? (kind === "boolean" ? false : "");
    const shown = name === "duration" && value === "" ? "0s" : value;
    if (always || (shown !== "" && shown !== false)) written[name] = shown;
  }
  const known = new Set(members.map(([name]) => name));
  for (const [name, value] of Object.entries(rest)) {
    if (!known.has(name) && value !== undefined) written[name] = value;
  }
  if (pointInTime) written.pointInTime = pointInTime;
  return written;
}

export interface S3ConfigContext {
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** For token and credentials files; Node's file system by default. */
  readonly readText?: ReadText | undefined;
  /** Of requests for credentials. */
  readonly transport?: HttpTransport | undefined;
}

/**
 * What `s3Store` needs to open a connection. Credentials as Kopia finds them: a role by a web identity or by keys when one is
 * named, else the keys of the connection, else the environment; and then, beyond Kopia, the role and the credentials file
 * that the environment names.
 * @throws {FormatError} `DM_S3_CONFIG_INVALID`
 * @example const store = s3Store(s3StoreOptions(decodeS3Config(connection.config)));
 */
export function s3StoreOptions(value: S3Config, context: S3ConfigContext = {}): S3StoreOptions {
  const config = decodeS3Config(value);
  return {
    endpoint: config.endpoint,
    bucket: config.bucket,
    prefix: config.prefix || "",
    tls: !config.doNotUseTLS,
    verifyTls: !config.doNotVerifyTLS,
    rootCa: rootCaOf(config.rootCA),
    region: config.region || undefined,
    pointInTime: pointInTimeOf(config.pointInTime, invalidConfig),
    credentials: configCredentials(config, context),
  };
}

function configCredentials(config: S3Config, context: S3ConfigContext): CredentialsProvider {
  const { environment = processEnvironment(), readText = readTextFile, transport } = context;
  const { accessKeyID = "", secretAccessKey = "", sessionToken, roleARN } = config;
  const { webIdentityToken, webIdentityTokenFile } = config;
  const keys = staticCredentials(withToken(accessKeyID, secretAccessKey, sessionToken));
  const shared = { environment, transport };
  if (roleARN) {
    const role = {
      ...shared,
      roleArn: roleARN,
      sessionName: config.sessionName,
      durationSeconds: durationSeconds(config.duration),
      endpoint: config.roleEndpoint,
      region: config.roleRegion,
    };
    if (webIdentityTokenFile) {
      return webIdentityCredentials({ ...role, token: () => readText(webIdentityTokenFile) });
    }
    if (webIdentityToken) {
      return webIdentityCredentials({ ...role, token: async () => webIdentityToken });
    }
    return assumeRoleCredentials({ ...role, source: keys });
  }
  if (accessKeyID !== "" && secretAccessKey !== "") return keys;
  return defaultCredentials({ environment, readText, transport });
}

/** Where programs look that were given no credentials: environment, web identity of the pod, credentials file. */
export function defaultCredentials(context: S3ConfigContext = {}): CredentialsProvider {
  const { environment = processEnvironment(), readText = readTextFile, transport } = context;
  const tokenFile = environment.AWS_WEB_IDENTITY_TOKEN_FILE;
  const roleArn = environment.AWS_ROLE_ARN;
  const providers = [environmentCredentials(environment)];
  if (tokenFile && roleArn) {
    const sessionName = environment.AWS_ROLE_SESSION_NAME;
    const token = (): Promise<string> => readText(tokenFile);
    providers.push(webIdentityCredentials({ roleArn, sessionName, token, environment, transport }));
  }
  providers.push(fileCredentials({ environment, readText, transport }));
  return firstCredentials(...providers);
}

function invalidConfig(reason: string): FormatError {
  return new FormatError("DM_S3_CONFIG_INVALID", `connection of type s3: ${reason}`, {});
}

const secondsOf: Readonly<Record<string, number>> = {
  h: 3600,
  m: 60,
  s: 1,
  ms: 1e-3,
  us: 1e-6,
  ns: 1e-9,
};

/** Seconds of a duration such as `1h0m0s`; undefined for none. */
function durationSeconds(text: string | null | undefined): number | undefined {
  if (!text || text === "0") return undefined;
  if (!/^(?:\d+(?:\.\d+)?(?:h|ms|m|us|ns|s))+$/.test(text)) {
    throw invalidConfig("duration is no duration such as 1h0m0s");
  }
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|us|ns|s)/g)) {
    seconds += Number(count) * (secondsOf[unit ?? ""] ?? 0);
  }
  return Math.floor(seconds) || undefined;
}

function rootCaOf(base64: string | null | undefined): string | undefined {
  if (!base64) return undefined;
  let pem = "";
  try {
    pem = utf8Decode(fromBase64(base64));
  } catch {
    // Answered below.
  }
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw invalidConfig("rootCA is no certificate in PEM, in base64");
}
