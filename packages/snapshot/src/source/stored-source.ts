/**
 * The tree of a snapshot as something to be backed up into another repository: what it was made of, as far as a snapshot
 * tells. Proof: test/migrate-snapshots.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import { isDamage } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { Directory } from "../directory-codec.ts";
import type { DirectoryEntry } from "../directory-entry.ts";
import { decodeExtendedMetadata } from "../extended-metadata.ts";
import { summarizeDirectory } from "../summary.ts";
import { type ObjectSource, openFile, readDirectory } from "../tree.ts";
import type { SourceDirectory, SourceEntry, SourceFailure } from "./source-entry.ts";

/** A failure that the snapshot itself records: the entry was missing before. */
export class RecordedFailure extends Error {
  override readonly name = "RecordedFailure";
}

/**
 * Damage of the repository is thrown as `DM_SOURCE_DAMAGED`, so that an upload lists it and goes on. Entries that were
 * missing are failures again, with the same texts; entries that are neither file, directory nor link are failures, too.
 * @param before what an earlier snapshot of the same source has at this place: files with other objects count as changed, whatever
 *   their times say. Without it, nothing is known to have changed.
 */
export function storedSource(
  repository: ObjectSource,
  entry: DirectoryEntry,
  before?: DirectoryEntry,
): SourceEntry {
  const { gid, mode, modifiedAtNs, name, objectId, sizeBytes, type, uid } = entry;
  const extended = entry.unknownMembers && decodeExtendedMetadata(entry.unknownMembers);
  const metadata = {
    name,
    mode,
    sizeBytes,
    modifiedAtNs,
    uid,
    gid,
    ...(before && (before.objectId !== objectId || before.type !== type) && { isChanged: true }),
    ...(extended && { readExtendedMetadata: () => extended }),
  };
  if (type === "d") {
    const list: SourceDirectory["list"] = (options) =>
      listStored(repository, entry, before, options);
    return { ...metadata, type: "d", list };
  }
  if (type === "s") {
    return {
      ...metadata,
      type: "s",
      readTarget: (options) =>
        undamaged(async () => (await openFile(repository, entry, options)).read(options)),
    };
  }
  if (type !== "f") {
    const error = damaged(`${JSON.stringify(name)} is of the unknown type ${JSON.stringify(type)}`);
    return { type: "failure", name, isDirectory: false, error };
  }
  return {
    ...metadata,
    type: "f",
    async *read({ from = 0, signal } = {}) {
      try {
        const object = await openFile(repository, entry, { signal });
        yield* object.stream({ offset: from, signal });
      } catch (error) {
        throw asDamaged(error);
      }
    },
  };
}

async function listStored(
  repository: ObjectSource,
  entry: DirectoryEntry,
  before: DirectoryEntry | undefined,
  options: CallOptions | undefined,
): Promise<SourceEntry[]> {
  const directory = await undamaged(() => readDirectory(repository, entry, options));
  const { entries } = directory;
  let child: (entry: DirectoryEntry) => SourceEntry = (one) => storedSource(repository, one);
  if (before?.objectId === entry.objectId) child = (one) => storedSource(repository, one, one);
  else if (before) {
    const names = await entriesBefore(repository, before, options);
    child = (one) => storedSource(repository, one, names.get(one.name) ?? nothing);
  }
  return [...entries.map(child), ...recordedFailures(directory, entry)];
}

/** What is compared where there was nothing before: no entry has an empty type. */
const nothing: DirectoryEntry = {
  name: "",
  type: "",
  mode: 0,
  sizeBytes: 0,
  modifiedAtNs: 0n,
  uid: 0,
  gid: 0,
  objectId: "",
};

/** Empty where that cannot be read: then everything is. */
async function entriesBefore(
  repository: ObjectSource,
  before: DirectoryEntry,
  options: CallOptions | undefined,
): Promise<ReadonlyMap<string, DirectoryEntry>> {
  if (before.type !== "d") return new Map();
  try {
    const { entries } = await readDirectory(repository, before, options);
    return new Map(entries.map((one) => [one.name, one]));
  } catch (error) {
    if (!isDamage(error)) throw error;
    return new Map();
  }
}

/** Entries that the directory itself lacks, not those of directories in it. */
function recordedFailures(
  { entries, summary }: Directory,
  { modifiedAtNs }: DirectoryEntry,
): SourceFailure[] {
  if (summary.failures.length === 0) return [];
  const below = new Set(summarizeDirectory(entries, modifiedAtNs).failures.map(({ path }) => path));
  return summary.failures
    .filter(({ path }) => !below.has(path))
    .map(({ error, path }) => ({
      type: "failure",
      name: path.slice(path.lastIndexOf("/") + 1),
      isDirectory: false,
      error: new RecordedFailure(error),
    }));
}

async function undamaged<Result>(read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    throw asDamaged(error);
  }
}

const asDamaged = (error: unknown): unknown =>
  isDamage(error) ? damaged(`${error.message} [${error.code}]`, error) : error;

const damaged = (message: string, cause?: Error): FormatError =>
  new FormatError("DM_SOURCE_DAMAGED", message, {}, { cause });
