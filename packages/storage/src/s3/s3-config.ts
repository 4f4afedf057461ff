/**
 * Kopia's connection JSON of type `s3`: read, checked, written in Kopia's order, and opened.
 * Format: docs/format/blobs.md. Proof: test/s3-config.test.ts.
 * @module
 */

import { fromBase64, parseGoDuration, utf8Decode } from "@dm/core";
import { connectionMembers, pointInTimeOf } from "../connection-members.ts";
import type { HttpTransport } from "../http/http-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
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

/** In Kopia's order; throttling limits stand between them and `pointInTime`. */
const members = connectionMembers("s3", [
  ["bucket", "string", "always"],
  ["prefix", "string"],
  ["endpoint", "string", "always"],
  ["doNotUseTLS", "boolean"],
  ["doNotVerifyTLS", "boolean"],
  ["rootCA", "string"],
  ["accessKeyID", "string", "always"],
  ["secretAccessKey", "string", "always"],
  ["sessionToken", "string", "always"],
  ["webIdentityToken", "string"],
  ["webIdentityTokenFile", "string"],
  ["roleARN", "string", "always"],
  ["sessionName", "string", "always"],
  ["duration", "string", "always"],
  ["roleEndpoint", "string", "always"],
  ["roleRegion", "string", "always"],
  ["region", "string"],
]);

/** Members that are never shown to people. */
export const sensitiveS3Members: readonly string[] = Object.freeze([
  "secretAccessKey",
  "sessionToken",
  "webIdentityToken",
]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeS3Config(value: unknown): S3Config {
  const config = members.decode(value) as S3Config;
  members.require(config, "bucket");
  members.require(config, "endpoint");
  durationSeconds(config.duration);
  rootCaOf(config.rootCA);
  pointInTimeOf(config.pointInTime, members.invalid);
  return config;
}

/** The `config` as Kopia writes it: its order, and its empty members. */
export function encodeS3Config(config: S3Config): Record<string, unknown> {
  const { pointInTime, ...rest } = decodeS3Config(config);
  return {
    ...members.encode({ ...rest, duration: rest.duration || "0s" }),
    ...(pointInTime ? { pointInTime } : {}),
  };
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
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = s3Store(s3StoreOptions(decodeS3Config(connection.config)));
 */
export function s3StoreOptions(value: S3Config, context: S3ConfigContext = {}): S3StoreOptions {
  const config = decodeS3Config(value);
  return {
    endpoint: config.endpoint,
    bucket: config.bucket,
    prefix: config.prefix || "",
    tls: !config.doNotUseTLS,
    ...tlsOf(config),
    region: config.region || undefined,
    pointInTime: pointInTimeOf(config.pointInTime, members.invalid),
    credentials: configCredentials(config, context),
  };
}

const tlsOf = ({ doNotVerifyTLS, rootCA }: S3Config) => ({
  verifyTls: !doNotVerifyTLS,
  rootCa: rootCaOf(rootCA),
});

function configCredentials(config: S3Config, context: S3ConfigContext): CredentialsProvider {
  const { environment = processEnvironment(), readText = readTextFile, transport } = context;
  const { accessKeyID = "", secretAccessKey = "", sessionToken, roleARN } = config;
  const { webIdentityToken, webIdentityTokenFile } = config;
  const keys = staticCredentials(withToken(accessKeyID, secretAccessKey, sessionToken));
  if (roleARN) {
    const role = {
      environment,
      // A service of one's own stands beside the store, with certificates of the same authority; that of AWS does not.
      transport:
        transport ??
        (config.roleEndpoint ? nodeTransport({ ...tlsOf(config), environment }) : undefined),
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

/** Undefined for none. */
function durationSeconds(text: string | null | undefined): number | undefined {
  const ms = parseGoDuration(text || "0");
  if (ms === undefined) throw members.invalid("duration is no duration such as 1h0m0s");
  return Math.floor(ms / 1000) || undefined;
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
  throw members.invalid("rootCA is no certificate in PEM, in base64");
}
