/**
 * A tree in the order in which archives hold it, each file with its data; groups of small files with few ranged reads, the
 * next ones under way while one is used. Memory: two groups, or five from a store across a network, each at most 8 MiB and one
 * content.
 * Proof: test/restore-archive.test.ts.
 * @module
 */
import { isDamage, type Repository } from "@dm/repo";
import { type CallOptions, isNearby } from "@dm/storage";
import type { DirectoryEntry } from "../../directory-entry.ts";
import { refusedName } from "../../restore/entry-name.ts";
import { walkTree } from "../../tree.ts";
import { PieceFailure, PieceReader } from "./contents.ts";
import type { Failure } from "./failures.ts";
import {
  checkObjectLength,
  loadContents,
  type NamedPiece,
  numberPieces,
  piecesOf,
  piecesOfEntry,
} from "./load-contents.ts";

export interface ReadItem {
  /** Relative to the root, which has the empty path. */
  readonly path: string;
  readonly entry: DirectoryEntry;
  /** Of a file or link; of a long file as it is read. */
  readonly data: readonly Uint8Array[] | AsyncIterable<Uint8Array>;
  /** It cannot be had, for this reason; nothing below it comes. */
  readonly failure?: Failure | undefined;
}

const groupItems = 256;
const groupBytes = 8 << 20;

interface Listed {
  readonly path: string;
  readonly entry: DirectoryEntry;
  readonly failure?: Failure;
}

/** Everything below an entry, itself first. What is damaged comes with its failure; a long file fails while it is read. */
export async function* readTree(
  repository: Repository,
  root: DirectoryEntry,
  options: CallOptions = {},
): AsyncGenerator<ReadItem> {
  const reader = new PieceReader(repository.contentReader);
  const groups = groupsOf(repository, root, options);
  const load = (group: Listed[]) => loadGroup(repository, group, reader, options);
  for await (const items of loadedAhead(repository, groups, load)) yield* items;
}

/** Groups that are under way behind the one in use. */
const aheadOf = ({ store }: Repository): number => (isNearby(store) ? 1 : 4);

/** Groups in order, some of them loaded ahead. */
async function* loadedAhead<Group, Loaded>(
  repository: Repository,
  groups: AsyncIterable<Group>,
  load: (group: Group) => Promise<Loaded>,
): AsyncGenerator<Loaded> {
  const count = aheadOf(repository);
  const ahead: Promise<Loaded>[] = [];
  for await (const group of groups) {
    const loading = load(group);
    // Whoever waits for it gets the failure; until then it must not count as unhandled.
    loading.catch(() => {});
    ahead.push(loading);
    if (ahead.length > count) yield await ahead.shift()!;
  }
  for (const loading of ahead) yield await loading;
}

async function* groupsOf(
  repository: Repository,
  root: DirectoryEntry,
  options: CallOptions,
): AsyncGenerator<Listed[]> {
  let group: Listed[] = [];
  let bytes = 0;
  let isEntered = true;
  const damaged: Listed[] = [];
  const walk = walkTree(repository, root, {
    ...options,
    descend: () => isEntered,
    onDamaged: ({ entry, path }, { code, message }) =>
      damaged.push({ entry, path, failure: { code, reason: message } }),
  });
  for await (const { depth, entry, path } of walk) {
    group.push(...damaged.splice(0));
    const reason = depth === 0 ? undefined : refusedName(entry.name);
    isEntered = reason === undefined;
    const size = entry.type === "d" ? 0 : entry.sizeBytes;
    if (group.length >= groupItems || bytes + size > groupBytes) {
      yield group;
      group = [];
      bytes = 0;
    }
    const failure = reason === undefined ? undefined : { code: "DM_RESTORE_NAME_REFUSED", reason };
    group.push({ entry, path, ...(failure && { failure }) });
    bytes += size;
  }
  group.push(...damaged);
  yield group;
}

async function loadGroup(
  repository: Repository,
  group: readonly Listed[],
  reader: PieceReader,
  options: CallOptions,
): Promise<ReadItem[]> {
  const found: (readonly NamedPiece[] | Failure)[] = [];
  for (const { entry, failure } of group)
    found.push(
      failure ?? (hasPieces(entry) ? await piecesOfEntry(repository, entry, options) : []),
    );
  const { ids, numbered } = numberPieces(found.map((pieces) => ("code" in pieces ? [] : pieces)));
  const loaded = await loadContents(repository, ids, options);
  return group.map(({ entry, path }, index): ReadItem => {
    const pieces = found[index]!;
    if ("code" in pieces) return { entry, path, data: [], failure: pieces };
    if (isLong(entry)) return { entry, path, data: readLong(repository, entry, reader, options) };
    try {
      const data = numbered[index]!.map((piece) => reader.plaintext(loaded, piece));
      return { entry, path, data };
    } catch (error) {
      return { entry, path, data: [], failure: damageOf(error) };
    }
  });
}

const isLong = ({ sizeBytes, type }: DirectoryEntry): boolean =>
  type !== "d" && sizeBytes > groupBytes;

const hasPieces = (entry: DirectoryEntry): boolean => entry.type !== "d" && !isLong(entry);

function damageOf(error: unknown): Failure {
  if (error instanceof PieceFailure) return error.failure;
  if (isDamage(error)) return { code: error.code, reason: error.message };
  throw error;
}

/** The pieces of a long file, some groups of them read ahead. */
async function* readLong(
  repository: Repository,
  entry: DirectoryEntry,
  reader: PieceReader,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const load = async (pieces: readonly NamedPiece[]): Promise<Uint8Array[]> => {
    const { ids, numbered } = numberPieces([pieces]);
    const loaded = await loadContents(repository, ids, options);
    return numbered[0]!.map((piece) => reader.plaintext(loaded, piece));
  };
  const groups = piecesInGroups(repository, entry, options);
  for await (const loaded of loadedAhead(repository, groups, load)) yield* loaded;
}

async function* piecesInGroups(
  repository: Repository,
  entry: DirectoryEntry,
  options: CallOptions,
): AsyncGenerator<NamedPiece[]> {
  let pieces: NamedPiece[] = [];
  let bytes = 0;
  let last: NamedPiece | undefined;
  for await (const piece of piecesOf(repository, entry.objectId, entry.sizeBytes, options)) {
    last = piece;
    if (pieces.length > 0 && bytes + (piece.length ?? 0) > groupBytes) {
      yield pieces;
      pieces = [];
      bytes = 0;
    }
    pieces.push(piece);
    bytes += piece.length ?? 0;
  }
  checkObjectLength(entry, last);
  yield pieces;
}
