/**
 * What a type of storage brings to the program: its flags, the connection that they make, and how that is opened and shown.
 * Each type is one file of this folder; connection.ts lists them.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Logger } from "@dm/core";
import type { StorageConnection } from "@dm/repo/client";
import type { BlobStore } from "@dm/storage";
import type { Command } from "commander";
import type { Io } from "../io.ts";
import { hidden } from "../options.ts";
import type { Session } from "../session.ts";
import { parseCount } from "../text.ts";

export type StorageConfig = Readonly<Record<string, unknown>>;

export interface OpenContext {
  /** For a new repository: what a store needs is made. */
  readonly create?: boolean | undefined;
  readonly env: Io["env"];
  readonly logger: Logger;
}

export interface ConnectionContext {
  readonly env: Io["env"];
  readonly isCreation: boolean;
  /** Of the new repository. */
  readonly formatVersion?: string | undefined;
}

export interface StorageProvider {
  /** Kopia's name in configurations. */
  readonly type: string;
  /** Its name of the command, where that is another one. */
  readonly command?: string | undefined;
  /** `a directory`: it stands behind "A repository in". */
  readonly place: string;
  /** Members of the configuration that are never shown. */
  readonly secrets: readonly string[];
  withFlags(command: Command, session: Session): void;
  /** From the values of the flags to the configuration that kopia would write. */
  connection(flags: object, context: ConnectionContext): Promise<StorageConnection>;
  /** `Filesystem: /backup`, as kopia describes it. */
  displayName(config: StorageConfig): string;
  /** All members as kopia writes them, secrets included. */
  written(config: StorageConfig): Promise<StorageConfig>;
  open(config: StorageConfig, context: OpenContext): Promise<BlobStore>;
}

export interface ThrottlingFlags {
  readonly maxDownloadSpeed?: number;
  readonly maxUploadSpeed?: number;
}

export function withThrottling(command: Command): Command {
  return command
    .option("--max-download-speed <bytes>", "limit per second", parseCount)
    .option("--max-upload-speed <bytes>", "limit per second", parseCount)
    .addOption(hidden("--list-parallelism <count>").argParser(parseCount));
}

export function throttlingConfig({ maxDownloadSpeed, maxUploadSpeed }: ThrottlingFlags): object {
  return {
    ...(maxUploadSpeed ? { maxUploadSpeedBytesPerSecond: maxUploadSpeed } : {}),
    ...(maxDownloadSpeed ? { maxDownloadSpeedBytesPerSecond: maxDownloadSpeed } : {}),
  };
}

/** Directories of a new repository; null leaves it to the store. Clients of version 1 know no other sharding. */
export function initialShards(
  flat: boolean | undefined,
  { formatVersion, isCreation }: ConnectionContext,
): number[] | null {
  if (flat) return [];
  return isCreation && formatVersion === "1" ? [3, 3] : null;
}

/** Certificate authorities in place of the platform's, where the environment names a file of them, as for kopia. */
export async function trustedCertificates(env: Io["env"]): Promise<string | undefined> {
  const file = env["SSL_CERT_FILE"];
  return file ? readFile(file, "utf8") : undefined;
}

/** The configuration with stars in place of secrets, as many as they have bytes: as kopia shows it. */
export async function shownConfig(
  provider: StorageProvider,
  config: StorageConfig,
): Promise<StorageConfig> {
  const shown = { ...(await provider.written(config)) };
  for (const name of provider.secrets) {
    const secret = shown[name];
    if (typeof secret === "string") shown[name] = "*".repeat(Buffer.byteLength(secret));
    else delete shown[name];
  }
  return shown;
}
