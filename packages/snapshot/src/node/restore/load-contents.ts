/**
 * Fetches the stored bytes of a group of contents, neighbours of one pack with one read. Proof: test/restore-tree.test.ts.
 * @module
 */
import { FormatError, mapConcurrent } from "@dm/core";
import {
  type ContentId,
  type IndexEntry,
  isDamage,
  parseObjectId,
  type Repository,
} from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../../directory-entry.ts";
import { type PackRange, planReads } from "../../restore/read-plan.ts";
import type { LoadedContent, LoadedContents, Piece } from "./contents.ts";
import type { Failure } from "./failures.ts";

/** A piece by the id of its content, before the contents of a group are numbered. */
export interface NamedPiece extends Omit<Piece, "content"> {
  readonly contentId: ContentId;
}

/** Reads of one group at once. */
const readsAtOnce = 4;

/** Indexes within indexes; only an object that contains itself has more. */
const maxNesting = 20;

/** The contents that an object of this length consists of, in order. Errors as `Repository.openObject`. */
export async function* piecesOf(
  repository: Repository,
  objectId: string,
  length: number | undefined,
  options: CallOptions = {},
  nesting = 0,
): AsyncGenerator<NamedPiece> {
  const id = parseObjectId(objectId);
  if (id.indirection === 0 && id.contentId !== undefined) {
    const { compressed: isCompressed, contentId } = id;
    yield { contentId, start: 0, length, isCompressed };
    return;
  }
  if (nesting > maxNesting) {
    throw new FormatError(
      "DM_INDIRECT_INVALID",
      `index of object ${objectId}: it contains itself`,
      { objectId },
    );
  }
  for (const part of await repository.objectParts(objectId, options)) {
    if (part.length === 0) continue;
    const within = piecesOf(repository, part.objectId, part.length, options, nesting + 1);
    for await (const piece of within) yield { ...piece, start: part.start + piece.start };
  }
}

/** The pieces of a file or link that goes with a group, or why there are none. */
export async function piecesOfEntry(
  repository: Repository,
  entry: DirectoryEntry,
  options: CallOptions = {},
): Promise<readonly NamedPiece[] | Failure> {
  const length = entry.type === "s" ? undefined : entry.sizeBytes;
  const pieces: NamedPiece[] = [];
  try {
    for await (const piece of piecesOf(repository, entry.objectId, length, options))
      pieces.push(piece);
    if (length !== undefined) checkObjectLength(entry, pieces.at(-1));
    return pieces;
  } catch (error) {
    if (isDamage(error)) return { code: error.code, reason: error.message };
    throw error;
  }
}

/**
 * Contents in the order of `ids`. One that cannot be had carries the reason; what makes reading impossible as a whole is
 * thrown.
 */
export async function loadContents(
  repository: Repository,
  ids: readonly ContentId[],
  options: CallOptions = {},
): Promise<LoadedContents> {
  const contents: LoadedContent[] = new Array(ids.length);
  const entries: IndexEntry[] = [];
  const positions: number[] = [];
  for (const [position, id] of ids.entries()) {
    const entry = await repository.contentInfo(id, options);
    if (entry) {
      entries.push(entry);
      positions.push(position);
    } else contents[position] = await loadAlone(repository, id, undefined, options);
  }
  const buffers: Uint8Array[] = [];
  const read = async (range: PackRange): Promise<void> => {
    const bytes = await readRange(repository, range, options);
    if (bytes) buffers.push(bytes);
    const buffer = buffers.length - 1;
    for (const member of range.members) {
      const entry = entries[member]!;
      contents[positions[member]!] = bytes
        ? { entry, buffer, at: entry.packOffset - range.offset }
        : await loadAlone(repository, entry.contentId, entry, options);
    }
  };
  await mapConcurrent(planReads(entries), read, { concurrency: readsAtOnce, ...options });
  return { buffers, contents };
}

/** Undefined when the pack is gone, too short, or has no possible name: then each content tells for itself. */
async function readRange(
  { store }: Repository,
  { length, offset, packBlobId }: PackRange,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(packBlobId, { offset, length, ...options });
  } catch (error) {
    if (isDamage(error) || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Slow, and thorough: looks whether another client has moved the content, and says what is wrong with it. */
async function loadAlone(
  repository: Repository,
  id: ContentId,
  known: IndexEntry | undefined,
  options: CallOptions,
): Promise<LoadedContent> {
  try {
    const plaintext = await repository.readContent(id, options);
    const entry = known ?? (await repository.contentInfo(id, options))!;
    return { entry, plaintext };
  } catch (error) {
    if (isDamage(error)) return { failure: { code: error.code, reason: error.message } };
    throw error;
  }
}

/** Contents of several files, each once, and the pieces with their positions among them. */
export function numberPieces(files: readonly (readonly NamedPiece[])[]): {
  readonly ids: readonly ContentId[];
  readonly numbered: readonly (readonly Piece[])[];
} {
  const positions = new Map<ContentId, number>();
  const numbered = files.map((pieces) =>
    pieces.map(({ contentId, isCompressed, length, start }): Piece => {
      const known = positions.get(contentId);
      const content = known ?? positions.size;
      if (known === undefined) positions.set(contentId, content);
      return { content, isCompressed, length, start };
    }),
  );
  return { ids: [...positions.keys()], numbered };
}

/** @throws {FormatError} `DM_ENTRY_SIZE_MISMATCH` when an object ends elsewhere than its entry says */
export function checkObjectLength(
  { objectId, sizeBytes }: DirectoryEntry,
  last: NamedPiece | undefined,
): void {
  const length = last ? last.start + (last.length ?? 0) : 0;
  if (length === sizeBytes) return;
  throw new FormatError(
    "DM_ENTRY_SIZE_MISMATCH",
    `object ${objectId} has ${length} bytes, its entry says ${sizeBytes}`,
    { objectId, length, expected: sizeBytes },
  );
}
