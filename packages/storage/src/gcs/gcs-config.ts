/**
 * Kopia's connection JSON of type `gcs`: read, checked, written in Kopia's order, and opened.
 * Format: docs/format/blobs.md. Proof: test/gcs-config.test.ts.
 * @module
 */

import { isDmError } from "@dm/core";
import { connectionMembers, pointInTimeOf } from "../connection-members.ts";
import type { TokenProvider } from "../http/bearer-token.ts";
import { processEnvironment, type ReadText } from "../http/surroundings.ts";
import {
  gcsDefaultCredentials,
  gcsFileCredentials,
  gcsJsonCredentials,
} from "./gcs-credentials.ts";
import type { GcsStoreOptions } from "./gcs-store.ts";

/** The members that Kopia writes, by its names. Others (throttling limits, newer ones) are kept as they are. */
export interface GcsConfig {
  readonly bucket: string;
  readonly prefix?: string | undefined;
  /** Path of a JSON file with credentials. */
  readonly credentialsFile?: string | undefined;
  /** What is in such a file, embedded. */
  readonly credentials?: Readonly<Record<string, unknown>> | undefined;
  readonly readOnly?: boolean | undefined;
  /** RFC 3339. */
  readonly pointInTime?: string | undefined;
  readonly [other: string]: unknown;
}

/** Members that are never shown to people. */
export const sensitiveGcsMembers: readonly string[] = Object.freeze(["credentials"]);

/** In Kopia's order; throttling limits stand between them and `pointInTime`. */
const members = connectionMembers("gcs", [
  ["bucket", "string", "always"],
  ["prefix", "string"],
  ["credentialsFile", "string"],
  ["credentials", "object"],
  ["readOnly", "boolean"],
]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeGcsConfig(value: unknown): GcsConfig {
  const config = members.decode(value);
  members.require(config, "bucket");
  pointInTimeOf(config["pointInTime"], members.invalid);
  return config as GcsConfig;
}

/** The `config` as Kopia writes it: its order, without empty members. */
export function encodeGcsConfig(config: GcsConfig): Record<string, unknown> {
  const { pointInTime, ...rest } = decodeGcsConfig(config);
  return { ...members.encode(rest), ...(pointInTime ? { pointInTime } : {}) };
}

export interface GcsConfigContext {
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** For the file of credentials; Node's file system by default. */
  readonly readText?: ReadText | undefined;
}

/**
 * What `gcsStore` needs to open a connection: embedded credentials, else those of the file, else what the machine has. With
 * `STORAGE_EMULATOR_HOST`, as for Google's own clients, that server is asked, without a token.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = gcsStore(gcsStoreOptions(decodeGcsConfig(connection.config)));
 */
export function gcsStoreOptions(value: GcsConfig, context: GcsConfigContext = {}): GcsStoreOptions {
  const { environment = processEnvironment(), readText } = context;
  const config = decodeGcsConfig(value);
  const readOnly = config.readOnly ?? false;
  const emulator = environment["STORAGE_EMULATOR_HOST"];
  return {
    bucket: config.bucket,
    prefix: config.prefix || "",
    readOnly,
    pointInTime: pointInTimeOf(config.pointInTime, members.invalid),
    ...(emulator
      ? { endpoint: emulator.includes("://") ? emulator : `http://${emulator}` }
      : { credentials: configCredentials(config, { readOnly, readText }) }),
  };
}

function configCredentials(
  { credentials, credentialsFile }: GcsConfig,
  options: { readonly readOnly: boolean; readonly readText?: ReadText | undefined },
): TokenProvider {
  if (credentials) {
    try {
      return gcsJsonCredentials(credentials, options);
    } catch (error) {
      throw isDmError(error) ? members.invalid(error.message) : error;
    }
  }
  if (credentialsFile) return gcsFileCredentials(credentialsFile, options);
  return gcsDefaultCredentials(options);
}
