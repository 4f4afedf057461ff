/** `dm snapshot create`. */
import { lstat, realpath } from "node:fs/promises";
import { resolve } from "node:path";
import type { Repository, WriteSession } from "@dm/repo";
import {
  encodeSnapshotManifest,
  estimateSnapshot,
  listSnapshots,
  policyTree,
  type Snapshot,
  type SnapshotSource,
  type SourceEntry,
  streamSource,
  type UploadFailure,
  type UploadSnapshotOptions,
  updatePolicy,
  uploadSnapshot,
  uploadVolume,
  volumeSource,
} from "@dm/snapshot";
import { createDataPlane, openLocalSource, openVolume } from "@dm/snapshot/node";
import type { Command } from "commander";
import { adoptMaintenance, runDueMaintenance } from "../due-maintenance.ts";
import { LossError, UsageError } from "../io.ts";
import { hidden, repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import { parseSource, parseTags, sourceText } from "../snapshot-text.ts";
import { goJson, parseCount, parseDuration, parseShare, parseTimestamp } from "../text.ts";
import { UploadLine } from "../upload-line.ts";

interface CreateOptions {
  readonly all?: boolean;
  readonly uploadLimitMb?: number;
  readonly checkpointInterval?: number;
  readonly description?: string;
  readonly failFast?: boolean;
  readonly forceHash?: number;
  readonly parallel?: number;
  readonly startTime?: bigint;
  readonly endTime?: bigint;
  readonly stdinFile?: string;
  readonly block?: boolean;
  readonly resume?: boolean;
  readonly tags?: readonly string[];
  readonly pin?: readonly string[];
  readonly overrideSource?: string;
  readonly keepExtendedMetadata?: boolean;
  readonly json?: boolean;
  readonly jsonVerbose?: boolean;
}

const maxDescriptionLength = 1024;

export function snapshotCreateCommand(parent: Command, session: Session): void {
  const { env } = session.io;
  parent
    .command("create")
    .description("Make snapshots of local directories or files")
    .argument("[source...]", "directories or files")
    .option("--all", "everything that this user has made snapshots of on this host")
    .option("--upload-limit-mb <MB>", "stop after this much data was read", parseCount)
    .addOption(hidden("--checkpoint-interval <duration>").argParser(parseDuration))
    .option("--description <text>", "description of the snapshots")
    .option(
      "--fail-fast",
      "stop at the first error",
      /^(1|t|true)$/i.test(env["KOPIA_SNAPSHOT_FAIL_FAST"] ?? ""),
    )
    .option("--force-hash <percent>", "share of the unchanged files that is read again", parseShare)
    .option("--parallel <count>", "threads that read and hash; 0 for none", parseCount)
    .option("--start-time <time>", "in the place of when it began", parseTimestamp)
    .option("--end-time <time>", "in the place of when it ended", parseTimestamp)
    .option("--stdin-file <name>", "back up standard input as a file of this name")
    .option("--block", "sources are block devices or images of them, backed up as volumes")
    .option(
      "--resume",
      "with --block: go on where the run before was cut off; the volume must not have changed since",
    )
    .addOption(repeatable("--tags <key:value>", "tag of the snapshots"))
    .addOption(repeatable("--pin <name>", "pin that keeps them from expiring"))
    .option("--override-source <source>", "user@host:path in the place of where it really is")
    .option("--keep-extended-metadata", "also attributes, ACLs and which names are one file")
    .option("--json", "print the snapshots as JSON")
    .addOption(hidden("--json-verbose"))
    .addOption(hidden("--flush-per-source"))
    .addOption(hidden("--send-snapshot-report"))
    .addOption(hidden("--no-send-snapshot-report"))
    .addOption(hidden("--log-dir-detail <level>"))
    .addOption(hidden("--log-entry-detail <level>"))
    .action(async (paths: readonly string[], options: CreateOptions) => {
      checkOptions(paths, options);
      const failures: Error[] = [];
      for (const path of options.all ? await ownPaths(session) : paths) {
        if (session.signal.aborted) break;
        try {
          await createOne(session, path, options);
        } catch (error) {
          if (session.signal.aborted || !(error instanceof Error)) throw error;
          failures.push(error);
        }
      }
      session.signal.throwIfAborted();
      if (failures.every((error) => error instanceof LossError)) {
        await adoptMaintenance(session);
        await runDueMaintenance(session);
      }
      report(session, failures);
    });
}

function checkOptions(paths: readonly string[], options: CreateOptions): void {
  const { all, block, description = "", endTime, resume, startTime, stdinFile } = options;
  if (all && paths.length > 0) throw new UsageError("--all and a source exclude each other");
  if (!all && paths.length === 0) throw new UsageError("no snapshot sources");
  if (stdinFile !== undefined && paths.length > 1)
    throw new UsageError("standard input is one source");
  if (block && (all || stdinFile !== undefined))
    throw new UsageError("--block is for devices and images that are named");
  if (resume && !block)
    throw new UsageError("--resume is for --block: directories and files are always gone on with");
  if (description.length > maxDescriptionLength) throw new UsageError("description too long");
  if (startTime !== undefined && endTime !== undefined && startTime > endTime)
    throw new UsageError("start time override cannot be after the end time override");
  parseTags(options.tags);
}

/** One failure as it is; of several all, in one. */
function report(session: Session, failures: readonly Error[]): void {
  const [first] = failures;
  if (!first) return;
  if (failures.length === 1) throw first;
  for (const { message } of failures) session.messages.say(`error: ${message}`, "error");
  const message = `encountered ${failures.length} errors`;
  throw failures.every((error) => error instanceof LossError)
    ? new LossError(message)
    : new Error(message);
}

/** Paths of this user on this host that have snapshots, and no policy that says "only by hand". */
async function ownPaths(session: Session): Promise<string[]> {
  const { hostname, username } = await session.config();
  const { signal } = session;
  const repository = await session.repository();
  const source = { host: hostname, userName: username };
  const snapshots = await listSnapshots(repository, { source, signal });
  const paths = [...new Set(snapshots.map((snapshot) => snapshot.source.path))].sort();
  const chosen: string[] = [];
  for (const path of paths) {
    const { policy } = await policyTree(repository, { ...source, path }, { signal });
    if (!policy.scheduling.manual) chosen.push(path);
  }
  if (chosen.length === 0) throw new UsageError("no snapshot sources");
  return chosen;
}

async function createOne(session: Session, path: string, options: CreateOptions): Promise<void> {
  const { hostname, username } = await session.config();
  const source: SnapshotSource =
    options.overrideSource === undefined
      ? { host: hostname, userName: username, path: resolve(path) }
      : await parseSource(session, options.overrideSource);
  if (source.path === "") throw new UsageError("the overriding source has no path");
  await using volume = options.block ? await openVolume(resolve(path)) : undefined;
  const entry = volume
    ? volumeSource(volume, { name: volume.path, openedAtNs: volume.openedAtNs })
    : await entryOf(session, path, options);
  session.say(`Snapshotting ${sourceText({ source })} ...`);
  const repository = await session.repository();
  await using write = await repository.openWriteSession({ signal: session.signal });
  await using dataPlane = createDataPlane(
    write,
    options.parallel === undefined ? {} : { workers: options.parallel },
  );
  using line = new UploadLine(session);
  const ended = new AbortController();
  const expected = session.showProgress
    ? volume
      ? Promise.resolve({ files: 1, bytes: volume.sizeBytes })
      : expectedOf(repository, entry, source, AbortSignal.any([session.signal, ended.signal]))
    : undefined;
  const onFailure = ({ isIgnored, path: failed, text: why }: UploadFailure): void => {
    line.clear();
    const head = isIgnored ? "Ignored error" : "Error";
    const text = `${head} when processing ${JSON.stringify(failed)}: ${why}`;
    session.messages.say(text, isIgnored ? "warning" : "error");
  };
  const uploading: UploadSnapshotOptions = {
    source,
    dataPlane,
    description: options.description,
    tags: parseTags(options.tags),
    pins: options.pin,
    startedAtNs: options.startTime,
    endedAtNs: options.endTime,
    checkpointIntervalMs: options.checkpointInterval,
    uploadLimitBytes: options.uploadLimitMb && options.uploadLimitMb * 2 ** 20,
    failFast: options.failFast,
    forceHashPercent: options.forceHash,
    saveOnAbort: true,
    expected,
    onProgress: session.showProgress ? line.show : undefined,
    onFailure,
    clock: session.clock,
    logger: session.logger,
    signal: session.signal,
  };
  const snapshot = volume
    ? (
        await uploadVolume(write, volume, {
          ...uploading,
          dataPlane,
          name: volume.path,
          openedAtNs: volume.openedAtNs,
          resume: options.resume,
        })
      ).snapshot
    : await uploadSnapshot(write, entry, uploading);
  ended.abort();
  line.clear();
  if (options.stdinFile !== undefined || options.overrideSource !== undefined) {
    await setManual(session, write, source);
  }
  await write.commit();
  await printSnapshot(session, snapshot, options);
}

/** A source that is not where its path says, or nowhere, is backed up by hand only. */
async function setManual(
  session: Session,
  write: WriteSession,
  source: SnapshotSource,
): Promise<void> {
  await updatePolicy(write, source, (policy) => {
    const { manual, ...schedule } = policy.scheduling;
    const hasSchedule = Object.values(schedule).some((value) => value !== undefined);
    if (!hasSchedule) return { ...policy, scheduling: { manual: true } };
    const text = `The policy of ${sourceText({ source })} has a schedule, so that it is not set to manual.`;
    session.messages.say(text, "warning");
    return policy;
  });
}

/** What there is, looked at beside the upload: for the progress. */
async function expectedOf(
  repository: Repository,
  root: SourceEntry,
  source: SnapshotSource,
  signal: AbortSignal,
): Promise<{ files: number; bytes: number }> {
  if (root.type === "f") return { files: 1, bytes: root.sizeBytes };
  // A stream has no size.
  if (root.type !== "d" || root.localPath === undefined) throw new TypeError("it has no size");
  const { included, links } = await estimateSnapshot(repository, root, {
    source,
    previous: [],
    signal,
  });
  return { files: included.files + links, bytes: included.bytes };
}

async function entryOf(
  session: Session,
  path: string,
  { keepExtendedMetadata, stdinFile }: CreateOptions,
): Promise<SourceEntry> {
  const absolute = resolve(path);
  if (stdinFile !== undefined) {
    const { openStdin } = session.io;
    if (!openStdin) throw new UsageError("there is no standard input");
    return streamSource(absolute, stdinFile, openStdin(), session.clock.nowNs());
  }
  const isLink = (await lstat(absolute)).isSymbolicLink();
  const real = isLink ? await realpath(absolute) : absolute;
  if (isLink) session.say(`${absolute} resolved to ${real}`);
  return openLocalSource(real, { keepExtendedMetadata, readAhead: true });
}

async function printSnapshot(
  session: Session,
  snapshot: Snapshot,
  { json, jsonVerbose }: CreateOptions,
): Promise<void> {
  const { id, incompleteReason, rootEntry, source } = snapshot;
  if (id === "") {
    session.say("Not saving snapshot because no files have been changed since previous snapshot");
    return;
  }
  if (json || jsonVerbose) {
    const { stats, ...rest } = JSON.parse(encodeSnapshotManifest(snapshot));
    const manifest = { ...rest, id, ...(jsonVerbose && { stats }) };
    await session.io.out(`${goJson(manifest)}\n`);
  } else {
    const seconds = (snapshot.endedAtNs - snapshot.startedAtNs) / 1_000_000_000n;
    const partial = incompleteReason ? " partial" : "";
    session.say(
      `Created${partial} snapshot with root ${rootEntry?.objectId} and ID ${id} in ${seconds}s`,
    );
  }
  const { failedCount = 0, ignoredErrorCount = 0 } = rootEntry?.summary ?? {};
  const name = sourceText({ source });
  if (ignoredErrorCount > 0)
    session.messages.say(
      `Ignored ${ignoredErrorCount} error(s) while snapshotting ${name}.`,
      "warning",
    );
  if (failedCount > 0)
    throw new LossError(`Found ${failedCount} fatal error(s) while snapshotting ${name}.`);
}
