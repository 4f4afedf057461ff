/**
 * Kopia's connection JSON of type `sftp`.
 * Format: docs/format/blobs.md. Proof: test/store-configs.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import { connectionMembers } from "../connection-members.ts";
import type { ShardedConfig } from "../sharded-store.ts";

/** The members that Kopia writes, by its names. Others (throttling limits, newer ones) are kept as they are. */
export interface SftpConfig extends ShardedConfig {
  /** On the server; relative to the home directory unless it begins with a slash. */
  readonly path: string;
  readonly host: string;
  /** 22 when it is 0 or absent. */
  readonly port?: number | undefined;
  readonly username: string;
  /** Where it is given, keys are not used. */
  readonly password?: string | undefined;
  /** Path of the private key; absolute. */
  readonly keyfile?: string | undefined;
  /** The private key itself. */
  readonly keyData?: string | undefined;
  /** Absolute; `~/.ssh/known_hosts` by default. */
  readonly knownHostsFile?: string | undefined;
  /** Takes the place of the file. */
  readonly knownHostsData?: string | undefined;
  /** Starts a program of the system, which has keys and knows hosts of its own. */
  readonly externalSSH?: boolean | undefined;
  /** `ssh` by default. */
  readonly sshCommand?: string | undefined;
  /** Separated by spaces; stand before the name of the server. */
  readonly sshArguments?: string | undefined;
  readonly [other: string]: unknown;
}

const members = connectionMembers("sftp", [
  ["path", "string", "always"],
  ["host", "string", "always"],
  ["port", "number", "always"],
  ["username", "string", "always"],
  ["password", "string", "always"],
  ["keyfile", "string"],
  ["keyData", "string"],
  ["knownHostsFile", "string"],
  ["knownHostsData", "string"],
  ["externalSSH", "boolean", "always"],
  ["sshCommand", "string"],
  ["sshArguments", "string"],
  ["dirShards", "lengths", "always"],
  ["listParallelism", "number"],
]);

/** Members that are never shown to people. */
export const sensitiveSftpMembers: readonly string[] = Object.freeze(["password", "keyData"]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeSftpConfig(value: unknown): SftpConfig {
  const config = members.decode(value) as SftpConfig;
  for (const name of ["path", "host", "username"]) members.require(config, name);
  for (const name of ["host", "username"]) {
    // The external program would take it for an option.
    if (String(config[name]).startsWith("-")) throw members.invalid(`${name} begins with a dash`);
  }
  const { port = 0 } = config;
  if (port !== null && !(Number.isInteger(port) && port >= 0 && port < 65_536)) {
    throw members.invalid("port is no port");
  }
  return config;
}

/** The `config` as Kopia writes it: its order, and its empty members. */
export function encodeSftpConfig(config: SftpConfig): Record<string, unknown> {
  return members.encode(decodeSftpConfig(config));
}
