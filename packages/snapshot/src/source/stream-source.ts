/**
 * A stream as a source: a directory with one file, which has no size before it is read. So Kopia stores standard input.
 * Format: docs/format/snapshots.md. Proof: test/upload.test.ts, test/upload.kopia.test.ts.
 * @module
 */
import type { SourceDirectory, SourceFile } from "./source-entry.ts";

/** Go's zero time, cut to 64 bits: the time of a directory that exists nowhere. */
const noTimeNs = -6_795_364_578_871_345_152n;

/**
 * @param name of the directory: whatever the snapshot's root is to be called
 * @param fileName of the file in it
 * @param bytes read once, by one upload
 * @param modifiedAtNs of the file: when the stream was opened
 * @example streamSource("/var/backups", "dump.sql", process.stdin, clock.nowNs());
 */
export function streamSource(
  name: string,
  fileName: string,
  bytes: AsyncIterable<Uint8Array>,
  modifiedAtNs: bigint,
): SourceDirectory {
  const common = { mode: 0o777, sizeBytes: 0, uid: 0, gid: 0 };
  const file: SourceFile = {
    ...common,
    name: fileName,
    type: "f",
    isStream: true,
    modifiedAtNs,
    read: () => bytes,
  };
  return { ...common, name, type: "d", modifiedAtNs: noTimeNs, list: async () => [file] };
}
