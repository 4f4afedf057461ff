/**
 * Placeholders that a shallow restore leaves in the place of files and directories: `NAME.kopia-entry`, which holds the
 * entry of the snapshot, or a directory of that name with a file `.kopia-entry` in it. An upload puts the entry into its
 * snapshot again, unread. Format: docs/format/directories.md. Proof: test/upload.test.ts.
 * @module
 */
import { concatBytes, FormatError, NotFoundError, utf8DecodeStrict } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import { type DirectoryEntry, decodeEntry } from "../directory-entry.ts";
import type { SourceDirectory, SourceFile } from "../source/source-entry.ts";

export const placeholderSuffix = ".kopia-entry";

/** Longer ones are no placeholders: a summary with thousands of failures is still shorter. */
const maxPlaceholderBytes = 16 << 20;

/** The file that holds the entry; undefined when the directory has none. */
async function fileOf(
  source: SourceFile | SourceDirectory,
  options: CallOptions,
): Promise<SourceFile | undefined> {
  if (source.type === "f") return source;
  const entries = await source.list(options);
  return entries.find(
    (entry): entry is SourceFile => entry.type === "f" && entry.name === placeholderSuffix,
  );
}

/**
 * @throws {NotFoundError} `DM_PLACEHOLDER_INVALID` when a directory of such a name holds no entry
 * @throws {FormatError} `DM_PLACEHOLDER_INVALID` when a file of such a name is something else
 */
export async function readPlaceholder(
  source: SourceFile | SourceDirectory,
  options: CallOptions,
): Promise<DirectoryEntry> {
  const file = await fileOf(source, options);
  if (!file)
    throw new NotFoundError("DM_PLACEHOLDER_INVALID", `there is no ${placeholderSuffix} in it`);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of file.read(options)) {
    length += piece.length;
    if (length > maxPlaceholderBytes) throw invalid("it is too long");
    pieces.push(piece.slice());
  }
  let text: string;
  let value: unknown;
  try {
    text = utf8DecodeStrict(concatBytes(...pieces)).trimEnd();
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid("it is not JSON", cause);
  }
  return decodeEntry(
    value,
    () => text,
    "",
    (where, why, cause) => invalid(`${where} ${why}`, cause),
  );
}

function invalid(why: string, cause?: unknown): FormatError {
  return new FormatError(
    "DM_PLACEHOLDER_INVALID",
    `can't read placeholder: ${why.trim()}`,
    {},
    { cause },
  );
}
