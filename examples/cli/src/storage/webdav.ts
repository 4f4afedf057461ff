/**
 * A repository in a directory of a WebDAV server.
 * @module
 */
import type { WebdavConfig } from "@dm/storage/webdav";
import { UsageError } from "../io.ts";
import { secret } from "../options.ts";
import {
  initialShards,
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  trustedCertificates,
  withThrottling,
} from "./provider.ts";

interface WebdavFlags extends ThrottlingFlags {
  readonly url: string;
  readonly webdavUsername?: string;
  readonly webdavPassword?: string;
  readonly atomicWrites?: boolean;
  readonly flat?: boolean;
  readonly listParallelism?: number;
}

export const webdavProvider: StorageProvider = {
  type: "webdav",
  place: "a directory of a WebDAV server",
  secrets: ["password"],
  withFlags(command, session) {
    withThrottling(
      command
        .requiredOption("--url <url>", "directory on the server")
        .option("--webdav-username <name>", "user (KOPIA_WEBDAV_USERNAME)")
        .addOption(secret(session, "--webdav-password <password>"))
        .option("--atomic-writes", "a put of the server is whole or not at all")
        .option("--flat", "no sub-directories"),
    );
    command.addHelpText("after", "\nThe password comes from KOPIA_WEBDAV_PASSWORD.");
  },
  async connection(flags, context) {
    const options = flags as WebdavFlags;
    const username = options.webdavUsername ?? context.env["KOPIA_WEBDAV_USERNAME"];
    const password = options.webdavPassword ?? context.env["KOPIA_WEBDAV_PASSWORD"];
    if (username && !password) {
      throw new UsageError("a user has a password: set KOPIA_WEBDAV_PASSWORD");
    }
    const config: WebdavConfig = {
      url: options.url,
      username,
      password,
      atomicWrites: options.atomicWrites,
      dirShards: initialShards(options.flat, context),
      listParallelism: options.listParallelism,
      ...throttlingConfig(options),
    };
    const { encodeWebdavConfig } = await import("@dm/storage/webdav");
    return { type: "webdav", config: encodeWebdavConfig(config) };
  },
  displayName: ({ url }) => `WebDAV: ${String(url)}`,
  async written(config) {
    const { encodeWebdavConfig } = await import("@dm/storage/webdav");
    return encodeWebdavConfig(config as WebdavConfig);
  },
  async open(config, { create, env, logger }) {
    const { decodeWebdavConfig, webdavStore } = await import("@dm/storage/webdav");
    const rootCa = await trustedCertificates(env);
    return webdavStore(decodeWebdavConfig(config), { create, rootCa, logger });
  },
};
