/** `dm content list|show|stats|verify`. */

import { compressorByHeaderId, decompress } from "@dm/compression";
import { utf8Decode } from "@dm/core";
import {
  type ContentId,
  contentIdPrefix,
  type IndexEntry,
  parseContentId,
  verifyRepository,
} from "@dm/repo";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import {
  formatBytes,
  formatTimestamp,
  indented,
  JsonList,
  parseCount,
  SizeHistogram,
} from "../text.ts";

interface Selection {
  readonly prefix?: string;
  readonly prefixed?: boolean;
  readonly nonPrefixed?: boolean;
}

function withSelection(command: Command): Command {
  return command
    .option("--prefix <prefix>", "content id prefix")
    .option("--prefixed", "only content ids with a prefix")
    .option("--non-prefixed", "only content ids without a prefix");
}

function selected(id: ContentId, options: Selection): boolean {
  const prefix = contentIdPrefix(id);
  if (options.prefixed && prefix === "") return false;
  if (options.nonPrefixed && prefix !== "") return false;
  return options.prefix === undefined || id.startsWith(options.prefix);
}

const compressorName = (headerId: number): string => compressorByHeaderId(headerId).name;

const savings = (original: number, packed: number): string =>
  packed >= original ? "0%" : `${(100 * (1 - packed / original)).toFixed(1)}%`;

export function contentCommands(parent: Command, session: Session): void {
  const content = parent.command("content").description("Commands to inspect contents");
  listCommand(content, session);
  showCommand(content, session);
  statsCommand(content, session);
  verifyCommand(content, session);
}

interface ListOptions extends Selection {
  readonly long?: boolean;
  readonly compression?: boolean;
  readonly deleted?: boolean;
  readonly deletedOnly?: boolean;
  readonly summary?: boolean;
  readonly human?: boolean;
  readonly json?: boolean;
}

function listCommand(content: Command, session: Session): void {
  withSelection(content.command("list").alias("ls").description("List contents"))
    .option("-l, --long", "long output")
    .option("-c, --compression", "show compression")
    .option("--deleted", "include deleted contents")
    .option("--deleted-only", "only deleted contents")
    .option("-s, --summary", "add a total")
    .option("-h, --human", "human-readable sizes")
    .helpOption("--help", "display help for command")
    .option("--json", "output as JSON")
    .action(async (options: ListOptions) => {
      const repository = await session.repository();
      const json = options.json ? new JsonList(session.io) : undefined;
      let count = 0;
      let packed = 0;
      const includeDeleted = options.deleted === true || options.deletedOnly === true;
      for await (const entry of repository.listContents({
        includeDeleted,
        signal: session.signal,
      })) {
        if (!selected(entry.contentId, options) || (options.deletedOnly && !entry.deleted))
          continue;
        count += 1;
        packed += entry.packedLength;
        if (json) await json.add(jsonEntry(entry));
        else await session.io.out(`${textEntry(entry, options, session)}\n`);
      }
      await json?.end();
      if (options.summary && !json) {
        const total = options.human ? formatBytes(session.io, packed) : packed;
        await session.io.out(`Total: ${count} contents, ${total} total size\n`);
      }
    });
}

function jsonEntry(entry: IndexEntry): Record<string, unknown> {
  return {
    packFile: entry.packBlobId,
    time: entry.timestampSeconds,
    originalLength: entry.originalLength,
    length: entry.packedLength,
    packOffset: entry.packOffset,
    ...(entry.compressionHeaderId === 0 ? {} : { compression: entry.compressionHeaderId }),
    contentID: entry.contentId,
    deleted: entry.deleted,
    formatVersion: entry.formatVersion,
  };
}

function textEntry(entry: IndexEntry, options: ListOptions, session: Session): string {
  const { compressionHeaderId, contentId, originalLength, packedLength } = entry;
  const size = (bytes: number): string =>
    options.human ? formatBytes(session.io, bytes) : String(bytes);
  const compressed =
    compressionHeaderId === 0
      ? "-"
      : `${compressorName(compressionHeaderId)} ${savings(originalLength, packedLength)}`;
  const deleted = entry.deleted ? " (deleted)" : "";
  if (options.long) {
    const time = formatTimestamp(BigInt(entry.timestampSeconds) * 1_000_000_000n);
    const place = `${entry.packBlobId} ${entry.packOffset}+${size(packedLength)}`;
    return `${contentId} ${size(originalLength)} ${time} ${place}${deleted} ${compressed}`;
  }
  if (options.compression) {
    return `${contentId} length ${size(originalLength)} packed ${size(packedLength)} ${compressed} ${entry.deleted ? "(deleted)" : ""}`;
  }
  return contentId;
}

function showCommand(content: Command, session: Session): void {
  content
    .command("show")
    .alias("cat")
    .description("Show contents by id")
    .argument("<id...>", "ids of contents")
    .option("-j, --json", "pretty-print JSON")
    .option("-z, --unzip", "decompress gzip")
    .action(
      async (
        ids: readonly string[],
        options: { readonly json?: boolean; readonly unzip?: boolean },
      ) => {
        const repository = await session.repository();
        for (const id of ids) {
          let bytes = await repository.readContent(parseContentId(id), { signal: session.signal });
          if (options.unzip) bytes = gunzip(bytes);
          if (options.json) await session.io.out(indented(utf8Decode(bytes)));
          else await session.io.out(bytes);
        }
      },
    );
}

const maxUnzippedBytes = 1 << 30;

function gunzip(bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(bytes.length + 4);
  framed.set([0, 0, 0x10, 0]);
  framed.set(bytes, 4);
  return decompress(framed, { maxBytes: maxUnzippedBytes });
}

function statsCommand(content: Command, session: Session): void {
  withSelection(content.command("stats").description("Content statistics"))
    .option("-r, --raw", "raw numbers")
    .action(async (options: Selection & { readonly raw?: boolean }) => {
      const repository = await session.repository();
      const format = options.raw
        ? String
        : (bytes: number): string => formatBytes(session.io, bytes);
      const histogram = new SizeHistogram();
      const methods = new Map<number, { count: number; original: number; packed: number }>();
      let count = 0;
      let original = 0;
      let packed = 0;
      for await (const entry of repository.listContents({ signal: session.signal })) {
        if (!selected(entry.contentId, options)) continue;
        count += 1;
        original += entry.originalLength;
        packed += entry.packedLength;
        histogram.add(entry.packedLength);
        const method = methods.get(entry.compressionHeaderId) ?? {
          count: 0,
          original: 0,
          packed: 0,
        };
        method.count += 1;
        method.original += entry.originalLength;
        method.packed += entry.packedLength;
        methods.set(entry.compressionHeaderId, method);
      }
      const lines = [`Count: ${count}`, `Total Bytes: ${format(original)}`];
      if (original > packed) {
        const ratio = savings(original, packed);
        lines.push(`Total Packed: ${format(packed)} (compression ${ratio})`);
      }
      if (methods.size > 1) lines.push("By Method:");
      for (const [headerId, method] of [...methods].sort((a, b) => a[0] - b[0])) {
        if (methods.size === 1) break;
        const name = headerId === 0 ? "(uncompressed)" : compressorName(headerId);
        const head = `  ${name.padEnd(22)} count: ${method.count} size: ${format(method.original)}`;
        const tail = ` packed: ${format(method.packed)} compression: ${savings(method.original, method.packed)}`;
        lines.push(headerId === 0 ? head : head + tail);
      }
      if (count > 0) {
        const average = `Average: ${format(Math.floor(original / count))}`;
        lines.push(average, "Histogram:", "", ...histogram.lines(format));
      }
      await session.io.out(`${lines.join("\n")}\n`);
    });
}

function verifyCommand(content: Command, session: Session): void {
  content
    .command("verify")
    .description(
      "Verify that every content is there, and with --full that it decrypts and has its hash",
    )
    .option("--parallel <count>", "packs in memory at once", parseCount, 2)
    .option("--full", "read, decrypt and hash everything")
    .option("--json", "print the report as JSON")
    .action(
      async (options: {
        readonly parallel: number;
        readonly full?: boolean;
        readonly json?: boolean;
      }) => {
        if (options.parallel < 1) throw new UsageError("--parallel must be at least 1");
        const repository = await session.repository();
        session.say("Verifying contents...");
        using progress = await Progress.open(session, "contents");
        const report = await verifyRepository(repository, {
          depth: options.full ? "full" : "structure",
          parallelPacks: options.parallel,
          signal: session.signal,
          onProgress: ({ contentsDone, totalContents }) =>
            progress.update(contentsDone, totalContents),
        });
        progress.end();
        const { findings, ...counts } = report;
        const errors = findings.filter((finding) => finding.severity === "error");
        for (const finding of findings) {
          session.say(`${finding.severity}: ${finding.error.message}`);
        }
        if (options.json) {
          const list = findings.map(({ error, ...finding }) => ({
            ...finding,
            message: error.message,
          }));
          await session.io.out(
            `${JSON.stringify({ ...counts, errorCount: errors.length, findings: list })}\n`,
          );
        }
        session.say(
          `Finished verifying ${report.contentsDone} contents in ${report.packsDone} packs, ${errors.length} errors`,
        );
        if (!report.ok) throw new Error(`encountered ${errors.length} errors`);
      },
    );
}
