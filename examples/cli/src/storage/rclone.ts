/**
 * A repository wherever the program rclone reaches.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { RcloneConfig } from "@dm/storage/rclone";
import { hidden, repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import {
  initialShards,
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  withThrottling,
} from "./provider.ts";

interface RcloneFlags extends ThrottlingFlags {
  readonly remotePath: string;
  readonly rcloneExe?: string;
  readonly rcloneArgs?: readonly string[];
  readonly rcloneEnv?: readonly string[];
  readonly embedRcloneConfig?: string;
  readonly rcloneDebug?: boolean;
  readonly rcloneNowaitForTransfers?: boolean;
  readonly atomicWrites: boolean;
  readonly rcloneStartupTimeout: string;
  readonly flat?: boolean;
  readonly listParallelism?: number;
}

/** A variable may be a secret, and may be given several times. */
const environmentVariable = (session: Session) =>
  repeatable("--rclone-env <name=value>", "variable of rclone's environment").argParser(
    (text, before: readonly string[] = []) => {
      session.messages.keepSecret(text.slice(text.indexOf("=") + 1));
      return [...before, text];
    },
  );

export const rcloneProvider: StorageProvider = {
  type: "rclone",
  place: "a remote of rclone",
  secrets: ["rcloneEnv", "embeddedConfig"],
  withFlags(command, session) {
    withThrottling(
      command
        .requiredOption("--remote-path <remote:path>", "as rclone knows it")
        .option("--rclone-exe <program>", "the program")
        .addOption(repeatable("--rclone-args <argument>", "further argument of rclone"))
        .addOption(environmentVariable(session))
        .option("--embed-rclone-config <file>", "store this configuration with the connection")
        .option("--rclone-startup-timeout <duration>", "for rclone to start", "15s")
        .addOption(hidden("--atomic-writes").default(true))
        .option("--no-atomic-writes", "the remote does not write files whole or not at all")
        .option("--flat", "no sub-directories")
        .addOption(hidden("--rclone-debug"))
        .addOption(hidden("--rclone-nowait-for-transfers")),
    );
  },
  async connection(flags, context) {
    const options = flags as RcloneFlags;
    const { embedRcloneConfig } = options;
    const config: RcloneConfig = {
      remotePath: options.remotePath,
      rcloneExe: options.rcloneExe,
      rcloneArgs: options.rcloneArgs,
      rcloneEnv: options.rcloneEnv,
      startupTimeout: options.rcloneStartupTimeout,
      debug: options.rcloneDebug,
      noWaitForTransfers: options.rcloneNowaitForTransfers,
      embeddedConfig: embedRcloneConfig ? await readFile(embedRcloneConfig, "utf8") : undefined,
      atomicWrites: options.atomicWrites,
      dirShards: initialShards(options.flat, context),
      listParallelism: options.listParallelism,
      ...throttlingConfig(options),
    };
    const { encodeRcloneConfig } = await import("@dm/storage/rclone");
    return { type: "rclone", config: encodeRcloneConfig(config) };
  },
  displayName: ({ remotePath }) => `RClone ${String(remotePath)}`,
  async written(config) {
    const { encodeRcloneConfig } = await import("@dm/storage/rclone");
    return encodeRcloneConfig(config as RcloneConfig);
  },
  async open(config, { create, logger }) {
    const { decodeRcloneConfig, rcloneStore } = await import("@dm/storage/rclone");
    return rcloneStore(decodeRcloneConfig(config), { create, logger });
  },
};
