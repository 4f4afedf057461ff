/** `dm snapshot list`. */
import { compareUtf8 } from "@dm/repo";
import { encodeSnapshotManifest, formatMode, listSnapshots, type Snapshot } from "@dm/snapshot";
import type { Command } from "commander";
import { hidden } from "../options.ts";
import type { Session } from "../session.ts";
import { sourceText } from "../snapshot-text.ts";
import { formatBytes, formatTimestamp, JsonList } from "../text.ts";

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

export function snapshotListCommand(parent: Command, session: Session): void {
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
