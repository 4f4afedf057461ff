/** `dm content list|show|stats|verify`. */

import { compressorByHeaderId, decompress } from "@dm/compression";
import { type DmError, isDmError, utf8Decode } from "@dm/core";
import {
  type ContentId,
  contentIdPrefix,
  type IndexEntry,
  parseContentId,
  type Repository,
  type VerifyFinding,
  type VerifyReport,
  verifyRepository,
} from "@dm/repo";
import type { Command } from "commander";
import { hidden } from "../options.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import {
  formatBytes,
  formatCount,
  formatTimestamp,
  goJson,
  indented,
  JsonList,
  oneDecimal,
  parsePositive,
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
  packed >= original ? "0%" : `${oneDecimal(100 * (1 - packed / original))}%`;

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
        const things = options.human ? formatCount(count) : count;
        await session.io.out(`Total: ${things} contents, ${total} total size\n`);
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
  if (options.compression) {
    return `${contentId} length ${size(originalLength)} packed ${size(packedLength)} ${compressed} ${entry.deleted ? "(deleted)" : ""}`;
  }
  if (options.long) {
    const time = formatTimestamp(BigInt(entry.timestampSeconds) * 1_000_000_000n);
    const place = `${entry.packBlobId} ${entry.packOffset}+${size(packedLength)}`;
    return `${contentId} ${size(originalLength)} ${time} ${place}${deleted} ${compressed}`;
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

interface VerifyCommandOptions {
  readonly parallel: number;
  readonly full?: boolean;
  readonly json?: boolean;
}

function verifyCommand(content: Command, session: Session): void {
  content
    .command("verify")
    .description("Verify that every content is there, and with --full that it can be read")
    .option("--parallel <count>", "packs in memory at once", parsePositive, 2)
    .option("--full", "read, decrypt and hash everything")
    .addOption(hidden("--include-deleted"))
    .addOption(hidden("--progress-interval <duration>"))
    .option("--json", "print what was found as JSON")
    .action(async (options: VerifyCommandOptions) => {
      const repository = await session.repository();
      session.say("Verifying contents...");
      const report = await verified(repository, options, session);
      const counters = countersOf(report, options.full === true);
      for (const { error, severity } of report.findings) {
        session.messages.say(`${severity}: ${error.message}`, severity);
      }
      if (options.json) {
        const findings = report.findings.map(({ error, ...finding }) => ({
          ...finding,
          code: (error as Partial<DmError>).code,
          message: error.message,
        }));
        await session.io.out(`${goJson({ ...counters, findings })}\n`);
      }
      session.say("Finished verifying contents");
      session.say(`verifyCounters:\t${goJson(counters)}`);
      if (!report.ok) {
        throw new Error(
          `the repository is damaged: encountered ${counters.totalErrorCount} errors`,
        );
      }
    });
}

async function verified(
  repository: Repository,
  options: VerifyCommandOptions,
  session: Session,
): Promise<VerifyReport> {
  using progress = await Progress.open(session, "contents");
  return await verifyRepository(repository, {
    depth: options.full ? "full" : "structure",
    parallelPacks: options.parallel,
    signal: session.signal,
    onProgress: ({ contentsDone, totalContents }) => progress.update(contentsDone, totalContents),
  });
}

/** Kopia's counters, from the findings. */
function countersOf(
  report: VerifyReport,
  isFull: boolean,
): Readonly<Record<string, number>> & {
  readonly totalErrorCount: number;
} {
  const errors = report.findings.filter(({ severity }) => severity === "error");
  const ofCode = (code: string): VerifyFinding[] =>
    errors.filter(({ error }) => isDmError(error, code));
  const contents = (findings: readonly VerifyFinding[]): number =>
    findings.reduce((sum, { contentCount }) => sum + contentCount, 0);
  const packs = (findings: readonly VerifyFinding[]): number =>
    new Set(findings.map(({ blobId }) => blobId)).size;
  const missing = ofCode("DM_PACK_NOT_FOUND");
  const truncated = ofCode("DM_PACK_TRUNCATED");
  const unreadable = errors.filter((finding) => {
    return finding.contentId !== undefined && !truncated.includes(finding);
  });
  return {
    verifiedContents: report.contentsDone,
    // A damaged index blob is an error, whatever contents it named.
    totalErrorCount: contents(errors) + errors.filter((found) => found.contentCount === 0).length,
    contentsInMissingPacks: contents(missing),
    contentsInTruncatedPacks: contents(truncated),
    unreadableContents: contents(unreadable),
    readContents: isFull ? report.contentsDone - contents(missing) - contents(truncated) : 0,
    missingPacks: packs(missing),
    truncatedPacks: packs(truncated),
    corruptedPacks: packs(unreadable),
  };
}
