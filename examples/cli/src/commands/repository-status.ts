/** `dm repository status`, as kopia prints it. */
import { toHex } from "@dm/core";
import { EpochManager, formatDuration, formatTime, type Repository } from "@dm/repo";
import { encodeToken } from "@dm/repo/client";
import type { Command } from "commander";
import { storageProvider } from "../connection.ts";
import type { ConnectedConfig, Session } from "../session.ts";
import { type StorageConfig, shownConfig } from "../storage/provider.ts";
import { formatBytes, goJson, indented } from "../text.ts";

interface StatusOptions {
  readonly reconnectToken?: boolean;
  readonly reconnectTokenWithPassword?: boolean;
  readonly json?: boolean;
}

export function statusCommand(parent: Command, session: Session): void {
  parent
    .command("status")
    .description("Show the connected repository")
    .option("-t, --reconnect-token", "show the token to connect with from elsewhere")
    .option("-s, --reconnect-token-with-password", "put the password into the token")
    .option("--json", "output as JSON")
    .action(async (options: StatusOptions) => {
      const config = await session.config();
      const repository = await session.repository();
      if (options.json) {
        await session.io.out(`${goJson(await statusJson(session, config, repository))}\n`);
        return;
      }
      const lines = await statusLines(session, config, repository);
      if (options.reconnectToken) {
        lines.push(...(await tokenLines(session, config, options)));
      }
      await session.io.out(`${lines.join("\n")}\n`);
    });
}

const nsOf = (ms: number): number => Math.round(ms * 1e6);

async function statusJson(
  session: Session,
  config: ConnectedConfig,
  repository: Repository,
): Promise<Record<string, unknown>> {
  const { format } = repository;
  const { retention } = repository.openedFormat.blobConfig;
  const { epochParameters: epochs } = format;
  const volume = await repository.store.capacity({ signal: session.signal });
  return {
    configFile: await session.configPath(),
    uniqueIDHex: toHex(repository.uniqueId),
    clientOptions: {
      hostname: config.hostname,
      username: config.username,
      ...(config.readonly ? { readonly: true } : {}),
      ...(config.permissiveCacheLoading ? { permissiveCacheLoading: true } : {}),
      description: config.description,
      enableActions: config.enableActions === true,
      formatBlobCacheDuration: config.formatBlobCacheDuration,
    },
    storage: { type: config.storage.type, config: await shownStorage(config) },
    ...(volume && {
      volume: { capacity: volume.capacityBytes, available: volume.availableBytes },
    }),
    contentFormat: {
      hash: format.hash,
      encryption: format.encryption,
      ...(format.ecc && { ecc: format.ecc, eccOverheadPercent: format.eccOverheadPercent }),
      version: format.version,
      maxPackSize: format.maxPackSizeBytes,
      indexVersion: format.indexVersion,
      epochParameters: {
        Enabled: epochs.enabled,
        EpochRefreshFrequency: nsOf(epochs.epochRefreshFrequencyMs),
        FullCheckpointFrequency: epochs.fullCheckpointFrequency,
        CleanupSafetyMargin: nsOf(epochs.cleanupSafetyMarginMs),
        MinEpochDuration: nsOf(epochs.minEpochDurationMs),
        EpochAdvanceOnCountThreshold: epochs.epochAdvanceOnCountThreshold,
        EpochAdvanceOnTotalSizeBytesThreshold: epochs.epochAdvanceOnTotalSizeBytesThreshold,
        DeleteParallelism: epochs.deleteParallelism,
      },
      enablePasswordChange: format.enablePasswordChange,
    },
    objectFormat: { splitter: format.splitter },
    blobRetention: retention
      ? { retentionMode: retention.mode, retentionPeriod: nsOf(retention.periodMs) }
      : {},
  };
}

async function shownStorage({ storage }: ConnectedConfig): Promise<StorageConfig> {
  return shownConfig(await storageProvider(storage.type), storage.config);
}

const line = (label: string, value: unknown): string => `${`${label}:`.padEnd(20)} ${value}`;

const duration = (ms: number): string => formatDuration(BigInt(nsOf(ms)));

async function statusLines(
  session: Session,
  config: ConnectedConfig,
  repository: Repository,
): Promise<string[]> {
  const cacheNs = config.formatBlobCacheDuration;
  const volume = await repository.store.capacity({ signal: session.signal });
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  const capacity = volume
    ? [
        line("Storage capacity", size(volume.capacityBytes)),
        line("Storage available", size(volume.availableBytes)),
      ]
    : [line("Storage capacity", "unbounded")];
  const json = indented(goJson(await shownStorage(config))).replaceAll("\n", `\n${" ".repeat(21)}`);
  const { format } = repository;
  const features = format.requiredFeatures.map(({ feature }) => feature);
  return [
    line("Config file", await session.configPath()),
    "",
    line("Description", config.description),
    line("Hostname", config.hostname),
    line("Username", config.username),
    line("Read-only", config.readonly === true),
    line(
      "Format blob cache",
      cacheNs > 0 ? formatDuration(BigInt(Math.round(cacheNs))) : "disabled",
    ),
    "",
    line("Storage type", config.storage.type),
    ...capacity,
    line("Storage config", json),
    "",
    line("Unique ID", toHex(repository.uniqueId)),
    line("Hash", format.hash),
    line("Encryption", format.encryption),
    line("Splitter", format.splitter),
    line("Format version", format.version),
    line("Content compression", format.indexVersion >= 2),
    line("Password changes", format.enablePasswordChange),
    ...(features.length > 0 ? [line("Required Features", features.join(" "))] : []),
    line("Max pack length", size(format.maxPackSizeBytes)),
    line("Index Format", `v${format.indexVersion}`),
    ...(await epochLines(session, repository)),
    ...retentionLines(repository),
    ...upgradeLines(session, repository),
  ];
}

async function epochLines(session: Session, repository: Repository): Promise<string[]> {
  const manager = repository.indexManager;
  if (!(manager instanceof EpochManager)) return [line("Epoch Manager", "disabled")];
  const epochs = repository.format.epochParameters;
  const { writeEpoch } = await manager.state({ signal: session.signal });
  const size = formatBytes(session.io, epochs.epochAdvanceOnTotalSizeBytesThreshold);
  const blobs = `${epochs.epochAdvanceOnCountThreshold} blobs or ${size}`;
  return [
    "",
    line("Epoch Manager", "enabled"),
    `Current Epoch: ${writeEpoch}`,
    "",
    `Epoch refresh frequency: ${duration(epochs.epochRefreshFrequencyMs)}`,
    `Epoch advance on:        ${blobs}, minimum ${duration(epochs.minEpochDurationMs)}`,
    `Epoch cleanup margin:    ${duration(epochs.cleanupSafetyMarginMs)}`,
    `Epoch range-compaction every: ${epochs.fullCheckpointFrequency} epochs`,
  ];
}

function retentionLines(repository: Repository): string[] {
  const { retention } = repository.openedFormat.blobConfig;
  if (!retention) return [];
  return [
    "",
    `Blob retention mode:     ${retention.mode}`,
    `Blob retention period:   ${duration(retention.periodMs)}`,
  ];
}

function upgradeLines(session: Session, repository: Repository): string[] {
  const lock = repository.format.upgradeLock;
  if (!lock) return [];
  const drainMs = lock.maxPermittedClockDriftMs + 2 * lock.ioDrainTimeoutMs;
  const waitMs = Math.max(lock.advanceNoticeDurationMs, drainMs);
  const establishedNs = lock.creationTimeNs + BigInt(nsOf(waitMs));
  const isEstablished = session.clock.nowNs() >= establishedNs;
  return [
    "",
    line("Ongoing upgrade", lock.message),
    line("Upgrade Time", formatTime(establishedNs)),
    line("Upgrade Owner", lock.ownerId),
    line("Lock status", isEstablished ? "Fully Established" : "Draining"),
  ];
}

async function tokenLines(
  session: Session,
  config: ConnectedConfig,
  options: StatusOptions,
): Promise<string[]> {
  const password = options.reconnectTokenWithPassword ? await session.password() : undefined;
  const token = encodeToken({ storage: config.storage, password });
  const lines = ["", "To reconnect to the repository use:", ""];
  lines.push(`$ dm repository connect from-config --token ${token}`, "");
  if (password !== undefined) {
    lines.push(
      "NOTICE: Whoever sees this token can read the password out of it: keep it as safe as the password.",
    );
  }
  return lines;
}
