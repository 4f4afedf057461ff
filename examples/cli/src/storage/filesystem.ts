/**
 * A repository in a directory.
 * @module
 */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { FormatError } from "@dm/core";
import type { FilesystemConfig } from "@dm/storage/filesystem";
import { UsageError } from "../io.ts";
import { parseCount } from "../text.ts";
import {
  initialShards,
  type StorageConfig,
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  withThrottling,
} from "./provider.ts";

interface FilesystemFlags extends ThrottlingFlags {
  readonly path: string;
  readonly ownerUid?: number;
  readonly ownerGid?: number;
  readonly fileMode?: number;
  readonly dirMode?: number;
  readonly flat?: boolean;
}

export const filesystemProvider: StorageProvider = {
  type: "filesystem",
  place: "a directory",
  secrets: [],
  withFlags(command) {
    withThrottling(
      command
        .requiredOption("--path <path>", "directory of the repository")
        .option("--owner-uid <user>", "user id of new files", parseCount)
        .option("--owner-gid <group>", "group id of new files", parseCount)
        .option("--file-mode <mode>", "mode of new files, octal (0600)", parseMode)
        .option("--dir-mode <mode>", "mode of new directories, octal (0700)", parseMode)
        .option("--flat", "no sub-directories"),
    );
  },
  async connection(flags, context) {
    const options = flags as FilesystemFlags;
    const { fileMode = 0o600, dirMode = 0o700, ownerGid, ownerUid } = options;
    const path = options.path.replace(/^~(?=\/|$)/, homedir());
    return {
      type: "filesystem",
      config: {
        path: resolve(path),
        fileMode,
        dirMode,
        ...(ownerUid === undefined ? {} : { uid: ownerUid }),
        ...(ownerGid === undefined ? {} : { gid: ownerGid }),
        dirShards: initialShards(options.flat, context),
        ...throttlingConfig(options),
      },
    };
  },
  displayName: ({ path }) => `Filesystem: ${String(path)}`,
  written: async (config) => config,
  async open(config, { create, logger }) {
    const { filesystemStore } = await import("@dm/storage/filesystem");
    return filesystemStore({ ...filesystemConfig(config), create, logger });
  },
};

function parseMode(text: string): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw new UsageError(`not an octal mode: ${text}`);
  return Number.parseInt(text, 8);
}

/** @throws {FormatError} `DM_CLI_STORAGE_INVALID` */
function filesystemConfig(config: StorageConfig): FilesystemConfig {
  const invalid = (what: string): never => {
    throw new FormatError("DM_CLI_STORAGE_INVALID", `filesystem connection: ${what}`);
  };
  const { dirShards, path } = config;
  if (typeof path !== "string" || path === "") invalid("it has no path");
  const numberOf = (name: string): number | undefined => {
    const value = config[name];
    if (value === undefined || value === null) return undefined;
    return typeof value === "number" ? value : invalid(`${name} is not a number`);
  };
  const isList = Array.isArray(dirShards) && dirShards.every((item) => typeof item === "number");
  if (dirShards !== undefined && dirShards !== null && !isList) {
    invalid("dirShards is not a list of numbers");
  }
  return {
    path: path as string,
    fileMode: numberOf("fileMode"),
    dirMode: numberOf("dirMode"),
    uid: numberOf("uid"),
    gid: numberOf("gid"),
    dirShards: dirShards as readonly number[] | null | undefined,
  };
}
