/** `dm blob list|show|stats`. */
import { utf8Decode } from "@dm/core";
import { formatTime, isSealedBlob, openBlob } from "@dm/repo";
import type { BlobMetadata } from "@dm/storage";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import {
  formatBytes,
  formatTimestamp,
  indented,
  JsonList,
  parseSize,
  SizeHistogram,
} from "../text.ts";

export function blobCommands(parent: Command, session: Session): void {
  const blob = parent.command("blob").description("Commands to inspect blobs");

  blob
    .command("list")
    .alias("ls")
    .description("List blobs")
    .option("--prefix <prefix>", "blob id prefix", "")
    .addOption(repeatable("--exclude-prefix <prefix>", "blob id prefix to leave out"))
    .option("--min-size <size>", "smallest size", parseSize)
    .option("--max-size <size>", "largest size", parseSize)
    .option("--data-only", "leave out indexes, logs and the format")
    .option("--json", "output as JSON")
    .action(async (options: ListOptions) => {
      const repository = await session.repository();
      const json = options.json ? new JsonList(session.io) : undefined;
      for await (const item of repository.store.list(options.prefix, { signal: session.signal })) {
        if (!selected(item, options)) continue;
        if (json)
          await json.add({
            id: item.id,
            length: item.length,
            timestamp: formatTime(item.timestampNs),
          });
        else {
          const length = String(item.length).padStart(10);
          await session.io.out(
            `${item.id.padEnd(70)} ${length} ${formatTimestamp(item.timestampNs)}\n`,
          );
        }
      }
      await json?.end();
    });

  blob
    .command("show")
    .alias("cat")
    .description("Show contents of blobs")
    .argument("<blobID...>", "blob ids")
    .option("--decrypt", "decrypt blobs that are encrypted as a whole")
    .action(async (blobIds: readonly string[], options: { readonly decrypt?: boolean }) => {
      const repository = await session.repository();
      for (const blobId of blobIds) {
        const stored = await repository.store.get(blobId, { signal: session.signal });
        if (options.decrypt) refusePack(blobId);
        const decrypt = options.decrypt && isSealedBlob(blobId);
        const bytes = decrypt ? openBlob(repository.crypter, blobId, stored) : stored;
        // Compaction logs are JSON.
        const isJson = decrypt && /^[ml]/.test(blobId);
        await session.io.out(isJson ? indented(utf8Decode(bytes)) : bytes);
      }
    });

  blob
    .command("stats")
    .description("Blob statistics")
    .option("-r, --raw", "raw numbers")
    .option("--prefix <prefix>", "blob id prefix", "")
    .action(async (options: { readonly raw?: boolean; readonly prefix: string }) => {
      const repository = await session.repository();
      const format = options.raw
        ? String
        : (bytes: number): string => formatBytes(session.io, bytes);
      const histogram = new SizeHistogram();
      let count = 0;
      let total = 0;
      for await (const item of repository.store.list(options.prefix, { signal: session.signal })) {
        histogram.add(item.length);
        count += 1;
        total += item.length;
      }
      const lines = [`Count: ${count}`, `Total: ${format(total)}`];
      if (count > 0) {
        const average = `Average: ${format(Math.floor(total / count))}`;
        lines.push(average, "Histogram:", "", ...histogram.lines(format));
      }
      await session.io.out(`${lines.join("\n")}\n`);
    });
}

interface ListOptions {
  readonly prefix: string;
  readonly excludePrefix?: readonly string[];
  readonly minSize?: number;
  readonly maxSize?: number;
  readonly dataOnly?: boolean;
  readonly json?: boolean;
}

function selected(blob: BlobMetadata, options: ListOptions): boolean {
  if (options.excludePrefix?.some((prefix) => blob.id.startsWith(prefix))) return false;
  if (options.minSize !== undefined && blob.length < options.minSize) return false;
  if (options.maxSize !== undefined && blob.length > options.maxSize) return false;
  return !options.dataOnly || !/^(n|x|_log|kopia\.)/.test(blob.id);
}

function refusePack(blobId: string): void {
  if (!/^[pq]/.test(blobId)) return;
  throw new UsageError(
    `${blobId} is a pack: its contents are encrypted one by one (see dm content show)`,
  );
}
