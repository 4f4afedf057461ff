/** `dm snapshot verify`. */
import { type DmError, toHex } from "@dm/core";
import type { Repository } from "@dm/repo";
import {
  listSnapshots,
  nextFrom,
  openPlace,
  openSnapshot,
  type ReadProofs,
  type Snapshot,
  type SnapshotFinding,
  type VerifiedTree,
  type VerifySnapshotReport,
  verifyReportFile,
  verifySnapshots,
} from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { hidden, repeatable } from "../options.ts";
import { Progress } from "../progress.ts";
import { ProofFile } from "../proof-file.ts";
import type { Session } from "../session.ts";
import { parseSourceFilter, sourceText } from "../snapshot-text.ts";
import {
  formatBytes,
  formatTimestamp,
  goJson,
  parseCount,
  parseDuration,
  parsePositive,
  parseShare,
} from "../text.ts";

interface VerifyOptions {
  readonly verifyFilesPercent: number;
  readonly sources?: readonly string[];
  readonly directoryId?: readonly string[];
  readonly fileId?: readonly string[];
  readonly maxErrors: number;
  readonly parallel: number;
  readonly fileParallelism?: number;
  readonly resume?: string;
  readonly maxProofAge: number;
  readonly report?: string;
  readonly json?: boolean;
}

const day = 86_400_000;

export function snapshotVerifyCommand(parent: Command, session: Session): void {
  parent
    .command("verify")
    .description("Verify that everything in snapshots is there, and that files can be read")
    .argument("[snapshot...]", "ids of snapshots; all by default")
    .option("--verify-files-percent <percent>", "share of the files that is read", parseShare, 0)
    .addOption(repeatable("--sources <source>", "all snapshots of a source"))
    .addOption(repeatable("--directory-id <id>", "a directory: its object id, and a path"))
    .addOption(
      repeatable("--file-id <id>", "a file: its object id, or that of a directory and a path"),
    )
    .option(
      "--max-errors <count>",
      "errors after which it ends; 0: at the last entry",
      parseCount,
      0,
    )
    .option("--parallel <count>", "files under way at once", parsePositive, 8)
    .option("--file-parallelism <count>", "the same", parsePositive)
    .option("--resume <file>", "go on where the runs before, with this file, have ended")
    .option(
      "--max-proof-age <duration>",
      "with --resume: read again after",
      parseDuration,
      30 * day,
    )
    .option("--report <file>", "write a report as JSON")
    .option("--json", "print counts and errors as JSON")
    // Nothing waits in a queue here; and all sources are the default.
    .addOption(hidden("--file-queue-length <count>"))
    .addOption(hidden("--all-sources"))
    .action(async (ids: readonly string[], options: VerifyOptions) => {
      const repository = await session.repository();
      const { snapshots, trees, unreadable } = await chosen(repository, session, ids, options);
      const file = await ProofFile.open(repository, options.resume);
      const startedAtNs = session.clock.nowNs();
      const report = await verify(repository, session, [...snapshots, ...trees], file, options);
      const isEverything = trees.length === 0 && ids.length === 0 && !options.sources;
      await file?.end(report, { nextFrom: nextFrom(report.choice), isEverything });
      if (options.report) {
        const { writeFile } = await import("node:fs/promises");
        const written = verifyReportFile(report, {
          snapshots,
          repositoryId: toHex(repository.uniqueId),
          startedAtNs,
          endedAtNs: session.clock.nowNs(),
          unreadable,
        });
        await writeFile(options.report, `${JSON.stringify(written, null, 2)}\n`);
      }
      await print(session, report, { snapshots, trees, unreadable }, options);
    });
}

interface Chosen {
  readonly snapshots: readonly Snapshot[];
  /** Directories and files that were asked for by their object ids, under the names that were given. */
  readonly trees: readonly VerifiedTree[];
  /** Manifests that cannot be read, by their ids. */
  readonly unreadable: ReadonlyMap<string, DmError>;
}

async function chosen(
  repository: Repository,
  session: Session,
  ids: readonly string[],
  { directoryId = [], fileId = [], sources = [] }: VerifyOptions,
): Promise<Chosen> {
  const { signal } = session;
  const snapshots: Snapshot[] = [];
  const unreadable = new Map<string, DmError>();
  const onInvalid = (id: string, error: DmError): void => {
    unreadable.set(id, error);
  };
  for (const text of sources) {
    const source = await parseSourceFilter(session, text);
    const found = await listSnapshots(repository, { source, signal, onInvalid });
    // To verify nothing must not look like proof.
    if (found.length === 0 && unreadable.size === 0)
      throw new UsageError(`no snapshots of ${text}`);
    snapshots.push(...found);
  }
  for (const id of ids) snapshots.push(await openSnapshot(repository, id, { signal }));
  const trees: VerifiedTree[] = [];
  for (const place of [...directoryId, ...fileId]) {
    const { entry } = await openPlace(repository, place, { signal });
    trees.push({ id: place, rootEntry: entry });
  }
  const isEverything = [sources, ids, trees].every(({ length }) => length === 0);
  if (isEverything) snapshots.push(...(await listSnapshots(repository, { signal, onInvalid })));
  const different = [...new Map(snapshots.map((one) => [one.id, one])).values()];
  return { snapshots: different, trees, unreadable };
}

async function verify(
  repository: Repository,
  session: Session,
  trees: readonly VerifiedTree[],
  file: ProofFile | undefined,
  options: VerifyOptions,
): Promise<VerifySnapshotReport> {
  using progress = await Progress.open(session, "files");
  const proofs: ReadProofs | undefined = file?.proofs;
  try {
    return await verifySnapshots(repository, trees, {
      readFiles: options.verifyFilesPercent / 100,
      parallel: options.fileParallelism ?? options.parallel,
      maxErrors: options.maxErrors || undefined,
      proofs,
      maxProofAgeMs: options.maxProofAge,
      signal: session.signal,
      onProgress: ({ filesDone, totalFiles }) => {
        progress.update(filesDone, totalFiles ?? filesDone);
        file?.saveNowAndThen();
      },
    });
  } finally {
    progress.end();
    await file?.save();
  }
}

async function print(
  session: Session,
  report: VerifySnapshotReport,
  { snapshots, unreadable }: Chosen,
  options: VerifyOptions,
): Promise<void> {
  const names = new Map(snapshots.map((snapshot) => [snapshot.id, nameOf(snapshot)]));
  const errors = [
    ...[...unreadable.values()].map(({ code, message }) => `${message} [${code}]`),
    ...report.findings.map((finding) => findingText(names, finding)),
  ];
  for (const text of errors) session.messages.say(`error: ${text}`, "error");
  if (options.json) {
    const stats = {
      processedObjectCount: report.objectsDone,
      processedBytes: report.objectBytesDone,
      readFileCount: report.filesRead,
      readBytes: report.bytesRead,
      ...expectedOf(snapshots),
    };
    const result = { stats, errorCount: errors.length };
    const strings = errors.length > 0 ? { errorStrings: errors } : {};
    await session.io.out(`${goJson({ ...result, ...strings })}\n`);
  } else {
    const size = (bytes: number): string => formatBytes(session.io, bytes);
    session.say(
      `Finished processing ${report.objectsDone} objects (${size(report.objectBytesDone)}). Read ${report.filesRead} files (${size(report.bytesRead)}).`,
    );
    if (report.filesProven > 0) {
      const since = formatTimestamp(report.oldestProofNs!);
      session.say(
        `Another ${report.filesProven} files (${size(report.bytesProven)}) were read by earlier runs, the oldest at ${since}.`,
      );
    }
  }
  if (errors.length > 0) throw new Error(`encountered ${errors.length} errors`);
}

/** What the summaries promise, as kopia adds it up: what snapshots have in common counts for each, other trees not. */
function expectedOf(snapshots: readonly Snapshot[]): object {
  let [objects, files, bytes] = [0, 0, 0];
  for (const { rootEntry } of snapshots) {
    const summary = rootEntry?.summary;
    if (!summary) continue;
    objects += summary.directoryCount + summary.fileCount + summary.symlinkCount;
    files += summary.fileCount;
    bytes += summary.totalBytes;
  }
  return {
    expectedTotalObjectCount: objects,
    expectedTotalFileCount: files,
    expectedTotalBytes: bytes,
  };
}

const nameOf = (snapshot: Snapshot): string =>
  `${sourceText(snapshot)}@${formatTimestamp(snapshot.startedAtNs)}`;

function findingText(
  names: ReadonlyMap<string, string>,
  { error, path, snapshotId }: SnapshotFinding,
): string {
  const place = path === "" ? "" : `/${path}`;
  return `${names.get(snapshotId) ?? snapshotId}${place}: ${error.message} [${error.code}]`;
}
