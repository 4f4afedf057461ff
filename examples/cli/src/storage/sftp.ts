/**
 * A repository in a directory of an SFTP server.
 * @module
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { SftpConfig } from "@dm/storage/sftp";
import { UsageError } from "../io.ts";
import { secret } from "../options.ts";
import { parseCount } from "../text.ts";
import {
  initialShards,
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  withThrottling,
} from "./provider.ts";

interface SftpFlags extends ThrottlingFlags {
  readonly path: string;
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly sftpPassword?: string;
  readonly keyfile?: string;
  readonly keyData?: string;
  readonly knownHosts?: string;
  readonly knownHostsData?: string;
  readonly embedCredentials?: boolean;
  readonly external?: boolean;
  readonly sshCommand?: string;
  readonly sshArgs?: string;
  readonly flat?: boolean;
  readonly listParallelism?: number;
}

export const sftpProvider: StorageProvider = {
  type: "sftp",
  place: "a directory of an SFTP server",
  secrets: ["password", "keyData"],
  withFlags(command, session) {
    withThrottling(
      command
        .requiredOption("--path <path>", "directory on the server")
        .requiredOption("--host <host>", "name of the server")
        .option("--port <port>", "its port", parseCount, 22)
        .requiredOption("--username <name>", "user on the server")
        .addOption(secret(session, "--sftp-password <password>"))
        .option("--keyfile <file>", "private key, without a passphrase")
        .addOption(secret(session, "--key-data <key>"))
        .option("--known-hosts <file>", "keys that servers may show, as OpenSSH keeps them")
        .option("--known-hosts-data <text>", "the same in place")
        .option("--embed-credentials", "store key and known hosts with the connection")
        .option("--external", "reach the server through an SSH program, which has its own keys")
        .option("--ssh-command <program>", "that program", "ssh")
        .option("--ssh-args <arguments>", "its arguments, separated by spaces")
        .option("--flat", "no sub-directories"),
    );
  },
  async connection(flags, context) {
    const options = flags as SftpFlags;
    const { external, host, path, port, sshArgs, username } = options;
    const config: SftpConfig = {
      path,
      host,
      port,
      username,
      password: options.sftpPassword,
      ...(external ? {} : await identities(options)),
      externalSSH: external,
      sshCommand: options.sshCommand,
      sshArguments: sshArgs,
      dirShards: initialShards(options.flat, context),
      listParallelism: options.listParallelism,
      ...throttlingConfig(options),
    };
    const { encodeSftpConfig } = await import("@dm/storage/sftp");
    return { type: "sftp", config: encodeSftpConfig(config) };
  },
  displayName: ({ host, username }) => `SFTP ${String(username)}@${String(host)}`,
  async written(config) {
    const { encodeSftpConfig } = await import("@dm/storage/sftp");
    return encodeSftpConfig(config as SftpConfig);
  },
  async open(config, { create, logger }) {
    const { decodeSftpConfig, sftpStore } = await import("@dm/storage/sftp");
    return sftpStore(decodeSftpConfig(config), { create, logger });
  },
};

/** Key of the user, and keys of servers. */
async function identities(options: SftpFlags): Promise<Partial<SftpConfig>> {
  const { embedCredentials, keyData, keyfile, knownHosts, knownHostsData } = options;
  if (!options.sftpPassword && !keyData && !keyfile) {
    throw new UsageError("one of --sftp-password, --keyfile and --key-data is needed");
  }
  if (!knownHosts && !knownHostsData) {
    throw new UsageError("one of --known-hosts and --known-hosts-data is needed");
  }
  const key = keyData || (embedCredentials && keyfile ? await readFile(keyfile, "utf8") : "");
  const hosts =
    knownHostsData || (embedCredentials && knownHosts ? await readFile(knownHosts, "utf8") : "");
  return {
    keyData: key,
    keyfile: keyfile && !(embedCredentials && key) ? resolve(keyfile) : "",
    knownHostsData: hosts,
    knownHostsFile: knownHosts && !(embedCredentials && hosts) ? resolve(knownHosts) : "",
  };
}
