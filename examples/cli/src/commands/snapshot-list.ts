/** `dm snapshot list`. */
import type { DmError } from "@dm/core";
import { compareUtf8, type Repository } from "@dm/repo";
import {
  compactRetentionReasons,
  type DirectoryEntry,
  encodeSnapshotManifest,
  findEntry,
  formatMode,
  listSnapshots,
  retentionOf,
  type Snapshot,
  type StorageStats,
  shownEntry,
  snapshotsCovering,
  storageStats,
} from "@dm/snapshot";
import type { Command } from "commander";
import { LossError } from "../io.ts";
import { hidden, repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import { parseSource, parseTags, sourceText } from "../snapshot-text.ts";
import { formatBytes, formatTimestamp, JsonList, oneDecimal, parsePositive } from "../text.ts";

interface ListOptions {
  readonly all?: boolean;
  readonly incomplete?: boolean;
  readonly humanReadable: boolean;
  readonly delta?: boolean;
  readonly manifestId?: boolean;
  readonly retention: boolean;
  readonly mtime?: boolean;
  readonly owner?: boolean;
  readonly showIdentical?: boolean;
  readonly storageStats?: boolean;
  readonly reverse?: boolean;
  readonly maxResults?: number;
  readonly tags?: readonly string[];
  readonly json?: boolean;
}

export function snapshotListCommand(parent: Command, session: Session): void {
  parent
    .command("list")
    .alias("ls")
    .description("List snapshots")
    .argument(
      "[source]",
      "a path of this machine, or user@host:path; also in snapshots of directories above it",
    )
    .option("-a, --all", "of all users and hosts, not only of this connection's")
    .option("-i, --incomplete", "also incomplete ones")
    .addOption(hidden("--human-readable").default(true))
    .option("--no-human-readable", "sizes in bytes")
    .option("-d, --delta", "also by how much it is larger than the one before")
    .option("-m, --manifest-id", "also ids of snapshots")
    .addOption(hidden("--retention").default(true))
    .option("--no-retention", "without the reasons why the policy keeps each")
    .option("--mtime", "also when the root was modified")
    .option("--owner", "also owner and group of the root")
    .option("-l, --show-identical", "a line for each of those with the same root")
    .option("--storage-stats", "also what is new in each, in the repository")
    .option("--reverse", "newest first")
    .option("-n, --max-results <count>", "so many lines of each source", parsePositive)
    .addOption(repeatable("--tags <key:value>", "only those with this tag"))
    .option("--json", "output as JSON")
    .action(async (text: string | undefined, options: ListOptions) => {
      const repository = await session.repository();
      let unreadable = 0;
      const onInvalid = (_id: string, error: DmError): void => {
        unreadable += 1;
        session.messages.say(`${error.message} [${error.code}]`, "error");
      };
      const shown = await found(repository, session, text, options, onInvalid);
      if (text !== undefined && shown.length === 0)
        session.say(
          `No snapshot holds ${sourceText({ source: await parseSource(session, text) })}.`,
        );
      const groups = groupsOf(shown, options);
      if (options.json) await printJson(repository, session, groups, options);
      else await printGroups(repository, session, groups, options);
      if (unreadable > 0) throw new LossError(`${unreadable} snapshots cannot be read`);
    });
}

/** A snapshot, and what of it is shown: its root, or what lies at a path below. */
interface Shown {
  readonly snapshot: Snapshot;
  readonly path: string;
  readonly reasons: readonly string[];
}

type Group = readonly [source: string, snapshots: readonly Shown[]];

async function found(
  repository: Repository,
  session: Session,
  text: string | undefined,
  options: ListOptions,
  onInvalid: (id: string, error: DmError) => void,
): Promise<readonly Shown[]> {
  const { signal } = session;
  const filter = { signal, onInvalid, tags: parseTags(options.tags) };
  const covering =
    text === undefined
      ? (await listSnapshots(repository, filter)).map((snapshot) => ({ snapshot, path: "" }))
      : await snapshotsCovering(repository, await parseSource(session, text), filter);
  if (!options.retention) return covering.map((shown) => ({ ...shown, reasons: [] }));
  // All of them count, also those that are not listed.
  const all = await listSnapshots(repository, { signal, onInvalid: () => {} });
  const reasons = await retentionOf(repository, all, { signal });
  return covering.map((shown) => ({ ...shown, reasons: reasons.get(shown.snapshot.id) ?? [] }));
}

/** By source; within each by start, and of each as many as asked for: those at the end, like kopia. */
function groupsOf(all: readonly Shown[], { maxResults, reverse }: ListOptions): readonly Group[] {
  const groups = new Map<string, Shown[]>();
  for (const shown of all) {
    const source = sourceText(shown.snapshot);
    const group = groups.get(source);
    if (group) group.push(shown);
    else groups.set(source, [shown]);
  }
  return [...groups]
    .sort((a, b) => compareUtf8(a[0], b[0]))
    .map(([source, group]) => {
      if (reverse) group.reverse();
      return [source, group.slice(maxResults ? -maxResults : 0)];
    });
}

/** Each snapshot with what is new in it, when that was asked for. */
async function* withStorage(
  repository: Repository,
  session: Session,
  group: readonly Shown[],
  options: ListOptions,
): AsyncGenerator<{ readonly shown: Shown; readonly storage: StorageStats | undefined }> {
  if (!options.storageStats) {
    for (const shown of group) yield { shown, storage: undefined };
    return;
  }
  const snapshots = group.map(({ snapshot }) => snapshot);
  let index = 0;
  for await (const storage of storageStats(repository, snapshots, { signal: session.signal }))
    yield { shown: group[index++]!, storage };
}

async function printJson(
  repository: Repository,
  session: Session,
  groups: readonly Group[],
  options: ListOptions,
): Promise<void> {
  const json = new JsonList(session.io);
  for (const [, group] of groups) {
    for await (const { shown, storage } of withStorage(repository, session, group, options)) {
      const { reasons, snapshot } = shown;
      const { pins, ...manifest } = JSON.parse(encodeSnapshotManifest(snapshot));
      const { newData, runningTotal } = storage ?? {};
      await json.add({
        ...manifest,
        id: snapshot.id,
        ...(storage && { storageStats: { newData, runningTotal } }),
        ...(pins && { pins }),
        ...(reasons.length > 0 && { retentionReason: reasons }),
      });
    }
  }
  await json.end();
}

async function printGroups(
  repository: Repository,
  session: Session,
  groups: readonly Group[],
  options: ListOptions,
): Promise<void> {
  const { hostname, username } = await session.config();
  let separator = "";
  for (const [source, group] of groups) {
    const { host, userName } = group[0]!.snapshot.source;
    if (!options.all && (host !== hostname || userName !== username)) continue;
    await session.io.out(`${separator}${source}\n`);
    separator = "\n";
    await printGroup(repository, session, group, options);
  }
  if (separator === "" && groups.length > 0 && !options.all)
    session.say("No snapshots found. Pass --all to show snapshots from all users/hosts.");
}

interface Row {
  readonly objectId: string;
  readonly text: string;
  readonly reasons: string[];
  pins: readonly string[];
  count: number;
  lastStartedAtNs: bigint;
}

async function printGroup(
  repository: Repository,
  session: Session,
  group: readonly Shown[],
  options: ListOptions,
): Promise<void> {
  const { signal } = session;
  const rows: Row[] = [];
  let previousBytes: number | undefined;
  for await (const { shown, storage } of withStorage(repository, session, group, options)) {
    const { path, snapshot } = shown;
    const { incompleteReason, rootEntry, startedAtNs } = snapshot;
    let entry: DirectoryEntry;
    try {
      if (!rootEntry) throw new Error("no root entry");
      const there = await findEntry(repository, rootEntry, path, { signal });
      entry = path === "" ? there : shownEntry(there);
    } catch (error) {
      const { message } = error as Error;
      await session.io.out(`  ${formatTimestamp(startedAtNs)} <ERROR> ${message}\n`);
      continue;
    }
    if (incompleteReason && !options.incomplete) continue;
    const text = textOf(session, { snapshot, entry, storage, previousBytes }, options);
    if (!incompleteReason) previousBytes = bytesOf(entry);
    const row: Row = {
      objectId: entry.objectId,
      text,
      reasons: [...shown.reasons],
      pins: snapshot.pins,
      count: 1,
      lastStartedAtNs: startedAtNs,
    };
    const last = rows.at(-1);
    if (last?.objectId === row.objectId && !options.showIdentical) merge(last, row);
    else rows.push(row);
  }
  for (const row of rows) await session.io.out(linesOf(row));
}

function merge(row: Row, next: Row): void {
  row.count += 1;
  row.lastStartedAtNs = next.lastStartedAtNs;
  row.reasons.push(...next.reasons);
  row.pins = [...new Set([...row.pins, ...next.pins])].sort(compareUtf8);
}

function linesOf({ count, lastStartedAtNs, pins, reasons, text }: Row): string {
  let line = `  ${text}`;
  if (reasons.length > 0) line += ` (${compactRetentionReasons(reasons).join(",")})`;
  if (pins.length > 0) line += ` pins:${pins.join(",")}`;
  const until = formatTimestamp(lastStartedAtNs);
  return count > 1 ? `${line}\n  + ${count - 1} identical snapshots until ${until}\n` : `${line}\n`;
}

const bytesOf = ({ sizeBytes, summary }: DirectoryEntry): number =>
  summary?.totalBytes ?? sizeBytes;

interface Described {
  readonly snapshot: Snapshot;
  readonly entry: DirectoryEntry;
  readonly storage: StorageStats | undefined;
  /** Of the complete snapshot in the line above. */
  readonly previousBytes: number | undefined;
}

function textOf(session: Session, described: Described, options: ListOptions): string {
  const { entry, previousBytes, snapshot, storage } = described;
  const { incompleteReason, startedAtNs } = snapshot;
  const { summary } = entry;
  const bytes = bytesOf(entry);
  const parts = [formatTimestamp(startedAtNs), entry.objectId];
  if (incompleteReason) parts.push(`incomplete:${incompleteReason}`);
  parts.push(options.humanReadable ? formatBytes(session.io, bytes) : String(bytes));
  parts.push(formatMode(entry.type, entry.mode));
  if (options.owner) parts.push(`uid:${entry.uid}`, `gid:${entry.gid}`);
  if (options.mtime) parts.push(`modified:${formatTimestamp(entry.modifiedAtNs)}`);
  if (options.manifestId) parts.push(`manifest:${snapshot.id}`);
  const growth = bytes - (previousBytes ?? 0);
  if (options.delta && growth > 0) parts.push(`(+${formatBytes(session.io, growth)})`);
  if (summary) {
    parts.push(`files:${summary.fileCount}`, `dirs:${summary.directoryCount}`);
    if (summary.failedCount > 0) parts.push(`errors:${summary.failedCount}`);
  }
  if (storage) {
    const { dirObjects, fileObjects, originalContentBytes, packedContentBytes } = storage.newData;
    parts.push(`new-data:${formatBytes(session.io, packedContentBytes)}`);
    parts.push(`new-files:${fileObjects}`, `new-dirs:${dirObjects}`);
    parts.push(`compression:${savedPercent(originalContentBytes, packedContentBytes)}`);
  }
  return parts.join(" ");
}

function savedPercent(original: number, packed: number): string {
  if (packed >= original) return "0%";
  return `${oneDecimal(100 * (1 - packed / original))}%`;
}
