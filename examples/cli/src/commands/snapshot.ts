/** `dm snapshot list|verify`. */
import { compareUtf8 } from "@dm/repo";
import {
  encodeSnapshotManifest,
  formatMode,
  listSnapshots,
  openSnapshot,
  type Snapshot,
  type SnapshotFinding,
  verifySnapshot,
} from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { hidden } from "../options.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import {
  formatBytes,
  formatTimestamp,
  goJson,
  indented,
  JsonList,
  parsePositive,
} from "../text.ts";

export function snapshotCommands(parent: Command, session: Session): void {
  const snapshot = parent
    .command("snapshot")
    .alias("snap")
    .description("Commands to list and verify snapshots");
  listCommand(snapshot, session);
  verifyCommand(snapshot, session);
}

const sourceText = ({ source }: Snapshot): string =>
  `${source.userName}@${source.host}:${source.path}`;

interface ListOptions {
  readonly all?: boolean;
  readonly incomplete?: boolean;
  readonly manifestId?: boolean;
  readonly mtime?: boolean;
  readonly owner?: boolean;
  readonly showIdentical?: boolean;
  readonly reverse?: boolean;
  readonly json?: boolean;
}

function listCommand(parent: Command, session: Session): void {
  parent
    .command("list")
    .alias("ls")
    .description("List snapshots")
    .option("-a, --all", "of all users and hosts, not only of this connection's")
    .option("-i, --incomplete", "also incomplete ones")
    .option("-m, --manifest-id", "also ids of snapshots")
    .option("--mtime", "also when the root was modified")
    .option("--owner", "also owner and group of the root")
    .option("-l, --show-identical", "a line for each of those with the same root")
    .option("--reverse", "newest first")
    // Reasons of retention are not shown with it, nor without.
    .addOption(hidden("--no-retention"))
    .option("--json", "output as JSON")
    .action(async (options: ListOptions) => {
      const repository = await session.repository();
      const found = await listSnapshots(repository, { signal: session.signal });
      if (options.reverse) found.reverse();
      const groups = new Map<string, Snapshot[]>();
      for (const snapshot of found) {
        const source = sourceText(snapshot);
        groups.set(source, [...(groups.get(source) ?? []), snapshot]);
      }
      const sorted = [...groups].sort((a, b) => compareUtf8(a[0], b[0]));
      if (options.json) {
        const json = new JsonList(session.io);
        for (const snapshot of sorted.flatMap(([, group]) => group))
          await json.add({ ...JSON.parse(encodeSnapshotManifest(snapshot)), id: snapshot.id });
        await json.end();
        return;
      }
      await printGroups(sorted, options, session);
    });
}

async function printGroups(
  groups: readonly (readonly [string, readonly Snapshot[]])[],
  options: ListOptions,
  session: Session,
): Promise<void> {
  const { hostname, username } = await session.config();
  let separator = "";
  for (const [source, group] of groups) {
    const { host, userName } = group[0]!.source;
    if (!options.all && (host !== hostname || userName !== username)) continue;
    const lines = [`${separator}${source}`];
    let same: { id: string; count: number; untilNs: bigint } | undefined;
    const closeRow = (): void => {
      if (!same || same.count < 2) return;
      const until = formatTimestamp(same.untilNs);
      lines.push(`  + ${same.count - 1} identical snapshots until ${until}`);
    };
    for (const snapshot of group) {
      const { incompleteReason, rootEntry, startedAtNs } = snapshot;
      if (!rootEntry) {
        lines.push(`  ${formatTimestamp(startedAtNs)} <ERROR> no root entry`);
        continue;
      }
      if (incompleteReason && !options.incomplete) continue;
      if (same?.id === rootEntry.objectId && !options.showIdentical) {
        same.count += 1;
        same.untilNs = startedAtNs;
        continue;
      }
      closeRow();
      same = { id: rootEntry.objectId, count: 1, untilNs: startedAtNs };
      lines.push(`  ${rowOf(session, snapshot, options)}`);
    }
    closeRow();
    await session.io.out(`${lines.join("\n")}\n`);
    separator = "\n";
  }
  if (separator === "" && groups.length > 0)
    session.say("No snapshots found. Pass --all to show snapshots from all users/hosts.");
}

function rowOf(session: Session, snapshot: Snapshot, options: ListOptions): string {
  const { incompleteReason, pins, startedAtNs } = snapshot;
  const root = snapshot.rootEntry!;
  const { summary } = root;
  const parts = [formatTimestamp(startedAtNs), root.objectId];
  if (incompleteReason) parts.push(`incomplete:${incompleteReason}`);
  parts.push(formatBytes(session.io, summary?.totalBytes ?? root.sizeBytes));
  parts.push(formatMode(root.type, root.mode));
  if (options.owner) parts.push(`uid:${root.uid}`, `gid:${root.gid}`);
  if (options.mtime) parts.push(`modified:${formatTimestamp(root.modifiedAtNs)}`);
  if (options.manifestId) parts.push(`manifest:${snapshot.id}`);
  if (summary) {
    parts.push(`files:${summary.fileCount}`, `dirs:${summary.directoryCount}`);
    if (summary.failedCount > 0) parts.push(`errors:${summary.failedCount}`);
  }
  if (pins.length > 0) parts.push(`pins:${pins.join(",")}`);
  return parts.join(" ");
}

interface VerifyCommandOptions {
  readonly verifyFilesPercent: number;
  readonly parallel: number;
  readonly json?: boolean;
}

function verifyCommand(parent: Command, session: Session): void {
  parent
    .command("verify")
    .description("Verify that everything in snapshots is there, and that files can be read")
    .argument("[snapshot...]", "ids of snapshots; all by default")
    .option("--verify-files-percent <percent>", "share of the files that is read", parseShare, 0)
    .option("--parallel <count>", "files under way at once", parsePositive, 8)
    .option("--json", "print counts and errors as JSON")
    .action(async (ids: readonly string[], options: VerifyCommandOptions) => {
      const { signal } = session;
      const repository = await session.repository();
      const snapshots: Snapshot[] = [];
      for (const id of ids) snapshots.push(await openSnapshot(repository, id, { signal }));
      if (ids.length === 0) snapshots.push(...(await listSnapshots(repository, { signal })));
      const totals = { entries: 0, bytes: 0, filesRead: 0, bytesRead: 0 };
      const expected = { objects: 0, files: 0, bytes: 0 };
      for (const { rootEntry } of snapshots) {
        const {
          directoryCount = 0,
          fileCount = 0,
          symlinkCount = 0,
          totalBytes = 0,
        } = rootEntry?.summary ?? {};
        expected.objects += directoryCount + fileCount + symlinkCount;
        expected.files += fileCount;
        expected.bytes += totalBytes;
      }
      const errors: string[] = [];
      using progress = await Progress.open(session, "objects");
      for (const snapshot of snapshots) {
        const report = await verifySnapshot(repository, snapshot, {
          readFiles: options.verifyFilesPercent / 100,
          parallel: options.parallel,
          signal,
          onProgress: ({ entriesDone }) =>
            progress.update(totals.entries + entriesDone, expected.objects),
        });
        totals.entries += report.entriesDone;
        totals.bytes += report.bytesDone;
        totals.filesRead += report.filesRead;
        totals.bytesRead += report.bytesRead;
        errors.push(...report.findings.map((finding) => findingText(snapshot, finding)));
      }
      progress.end();
      for (const text of errors) session.messages.say(`error: ${text}`, "error");
      if (options.json) {
        const stats = {
          processedObjectCount: totals.entries,
          processedBytes: totals.bytes,
          readFileCount: totals.filesRead,
          readBytes: totals.bytesRead,
          expectedTotalObjectCount: expected.objects,
          expectedTotalFileCount: expected.files,
          expectedTotalBytes: expected.bytes,
        };
        const result = { stats, errorCount: errors.length };
        const strings = errors.length > 0 ? { errorStrings: errors } : {};
        await session.io.out(`${indented(goJson({ ...result, ...strings }))}\n`);
      } else {
        const size = (bytes: number): string => formatBytes(session.io, bytes);
        session.say(
          `Finished processing ${totals.entries} objects (${size(totals.bytes)}). Read ${totals.filesRead} files (${size(totals.bytesRead)}).`,
        );
      }
      if (errors.length > 0) throw new Error(`encountered ${errors.length} errors`);
    });
}

function findingText(snapshot: Snapshot, { error, path }: SnapshotFinding): string {
  const place = path === "" ? "" : `/${path}`;
  const time = formatTimestamp(snapshot.startedAtNs);
  return `${sourceText(snapshot)}@${time}${place}: ${error.message} [${error.code}]`;
}

function parseShare(text: string): number {
  const percent = Number(text);
  if (text.trim() === "" || !(percent >= 0 && percent <= 100))
    throw new UsageError(`not a percentage: ${text}`);
  return percent;
}
