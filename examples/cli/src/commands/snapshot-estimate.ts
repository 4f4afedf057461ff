/** `dm snapshot estimate`. */
import { resolve } from "node:path";
import { formatDuration } from "@dm/repo";
import {
  estimateSnapshot,
  type FileGroup,
  type NewData,
  type SnapshotEstimate,
} from "@dm/snapshot";
import { openLocalSource } from "@dm/snapshot/node";
import type { Command } from "commander";
import { LossError, UsageError } from "../io.ts";
import { choice } from "../options.ts";
import type { Session } from "../session.ts";
import { formatBytes, goJson, parseCount } from "../text.ts";

interface EstimateOptions {
  readonly showFiles?: boolean;
  readonly quiet?: boolean;
  readonly uploadSpeed: number;
  readonly maxExamplesPerBucket: number;
  readonly newData: "exact" | "fast" | "none";
  readonly json?: boolean;
}

export function snapshotEstimateCommand(parent: Command, session: Session): void {
  parent
    .command("estimate")
    .description("Estimate what a snapshot would read and store, without making it")
    .argument("<source>", "a directory of this machine")
    .option("--show-files", "also examples of the files of each size")
    .option("-q, --quiet", "do not name the directories")
    .option("--upload-speed <mbit/s>", "speed that the time is computed for", parseSpeed, 10)
    .option("--max-examples-per-bucket <count>", "examples of each size", parseCount, 10)
    .addOption(
      choice(
        "--new-data <how>",
        "what is new after deduplication: from a sample of the files, from all, or not",
        ["fast", "exact", "none"],
      ).default("fast"),
    )
    .option("--json", "output as JSON")
    .action(async (path: string, options: EstimateOptions) => {
      const { hostname, username } = await session.config();
      const { signal } = session;
      const root = await openLocalSource(path, { signal });
      if (root.type !== "d") throw new UsageError(`${path} is not a directory`);
      const repository = await session.repository();
      const estimate = await estimateSnapshot(repository, root, {
        source: { host: hostname, userName: username, path: resolve(path) },
        newData: options.newData,
        maxExamples: options.maxExamplesPerBucket,
        signal,
        onDirectory: (directory) => {
          if (!options.quiet) session.say(`Analyzing ${directory}...`);
        },
        onFailure: (place, error, isIgnored) => {
          const text = error instanceof Error ? error.message : String(error);
          const what = isIgnored ? "Ignored error" : "Error";
          session.messages.say(`${what} in ${place}: ${text}`, "error");
        },
      });
      if (options.json) await session.io.out(`${goJson(estimate)}\n`);
      else
        for (const line of linesOf(session, estimate, options)) await session.io.out(`${line}\n`);
      if (estimate.failures > 0) throw new LossError(`encountered ${estimate.failures} errors`);
    });
}

/** First what kopia prints, then what it does not tell. */
function* linesOf(
  session: Session,
  estimate: SnapshotEstimate,
  { showFiles = false, uploadSpeed }: EstimateOptions,
): Generator<string> {
  const { excluded, excludedDirectories, failures, included, newData, toRead, unchanged } =
    estimate;
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  const sum = ({ bytes, files }: { files: number; bytes: number }): string =>
    `${files} file(s), total size ${size(bytes)}`;
  yield `Snapshot includes ${sum(included)}`;
  yield* bucketLines(included, showFiles, size);
  yield "";
  if (excluded.files > 0) {
    yield `Snapshot excludes ${sum(excluded)}`;
    yield* bucketLines(excluded, true, size);
  } else yield "Snapshot excludes no files.";
  if (excludedDirectories.count > 0) {
    yield `Snapshot excludes ${excludedDirectories.count} directories. Examples:`;
    for (const path of excludedDirectories.examples) yield ` - ${path}`;
  } else yield "Snapshot excludes no directories.";
  if (failures > 0) yield `Encountered ${failures} error(s).`;
  const seconds = Math.trunc((included.bytes * 8) / 1_000_000 / uploadSpeed);
  yield "";
  yield `Estimated upload time: ${formatDuration(BigInt(seconds) * 1_000_000_000n)} at ${uploadSpeed} Mbit/s`;
  yield "";
  yield `To be read: ${sum(toRead)}; unchanged since the last snapshot: ${sum(unchanged)}`;
  if (newData) yield newDataLine(newData, size);
}

function newDataLine(newData: NewData, size: (bytes: number) => string): string {
  const { bytes, isExact, readBytes, readFiles, storedBytes } = newData;
  const about = isExact ? "" : "about ";
  const read = `${readFiles} file(s), total size ${size(readBytes)}`;
  return `New after deduplication: ${about}${size(bytes)}, in the repository ${about}${size(storedBytes)} (read: ${read})`;
}

function* bucketLines(
  { buckets }: FileGroup,
  showFiles: boolean,
  size: (bytes: number) => string,
): Generator<string> {
  for (const [index, { bytes, examples, files, minBytes }] of buckets.entries()) {
    if (files === 0) continue;
    const larger = buckets[index - 1]?.minBytes;
    const range =
      larger === undefined
        ? `< ${size(minBytes).padEnd(6)}`
        : `${size(minBytes).padEnd(6)}...${size(larger).padStart(6)}`;
    yield `${range.padStart(18)}: ${String(files).padStart(7)} files, total size ${size(bytes)}`;
    if (showFiles)
      for (const example of examples) yield ` - ${example.path} - ${size(example.bytes)}`;
  }
}

function parseSpeed(text: string): number {
  const speed = Number(text);
  if (text.trim() === "" || !(speed > 0)) throw new UsageError(`not a speed: ${text}`);
  return speed;
}
