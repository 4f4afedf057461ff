/**
 * Kopia's connection JSON of type `webdav`.
 * Format: docs/format/blobs.md. Proof: test/store-configs.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import { connectionMembers } from "../connection-members.ts";
import { normalFingerprint } from "../http/pinned-certificate.ts";
import type { ShardedConfig } from "../sharded-store.ts";

/** The members that Kopia writes, by its names. Others (throttling limits, newer ones) are kept as they are. */
export interface WebdavConfig extends ShardedConfig {
  /** Of the directory of the repository; `http` or `https`. */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** SHA-256 of the only certificate that is trusted, in hexadecimal. */
  readonly trustedServerCertificateFingerprint?: string | undefined;
  /** Whether a PUT that breaks leaves what was there; without it blobs are put under another name and moved. */
  readonly atomicWrites?: boolean | undefined;
  readonly [other: string]: unknown;
}

const members = connectionMembers("webdav", [
  ["url", "string", "always"],
  ["username", "string"],
  ["password", "string"],
  ["trustedServerCertificateFingerprint", "string"],
  ["atomicWrites", "boolean", "always"],
  ["dirShards", "lengths", "always"],
  ["listParallelism", "number"],
]);

/** Members that are never shown to people. */
export const sensitiveWebdavMembers: readonly string[] = Object.freeze(["password"]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeWebdavConfig(value: unknown): WebdavConfig {
  const config = members.decode(value) as WebdavConfig;
  members.require(config, "url");
  const url = URL.canParse(config.url) ? new URL(config.url) : undefined;
  if (url?.protocol !== "https:" && url?.protocol !== "http:") {
    throw members.invalid("url is none of http or https");
  }
  // Nothing of it would reach the server as it is meant, and it would be shown.
  if (url.username !== "" || url.password !== "") {
    throw members.invalid("url has a user in it: give the username and the password apart");
  }
  if (url.search !== "" || url.hash !== "") throw members.invalid("url has more than a path");
  if (config.trustedServerCertificateFingerprint) {
    try {
      normalFingerprint(config.trustedServerCertificateFingerprint);
    } catch {
      throw members.invalid("trustedServerCertificateFingerprint is no SHA-256 in hexadecimal");
    }
  }
  return config;
}

/** The `config` as Kopia writes it: its order, and its empty members. */
export function encodeWebdavConfig(config: WebdavConfig): Record<string, unknown> {
  return members.encode(decodeWebdavConfig(config));
}
