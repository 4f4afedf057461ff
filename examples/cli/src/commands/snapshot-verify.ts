/** `dm snapshot verify`. */
import {
  listSnapshots,
  openSnapshot,
  type Snapshot,
  type SnapshotFinding,
  verifySnapshot,
} from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import { sourceText } from "../snapshot-text.ts";
import { formatBytes, formatTimestamp, goJson, indented, parsePositive } from "../text.ts";

interface VerifyCommandOptions {
  readonly verifyFilesPercent: number;
  readonly parallel: number;
  readonly json?: boolean;
}

export function snapshotVerifyCommand(parent: Command, session: Session): void {
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
