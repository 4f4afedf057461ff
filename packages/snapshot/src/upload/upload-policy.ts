/**
 * What the uploader asks of policies: how one entry is stored, and whose failures count.
 * @module
 */
import type { CompressorName } from "@dm/compression";
import type { SourceDirectory, SourceEntry } from "../source/source-entry.ts";

/** The policy in force somewhere in a tree. */
export interface UploadRules {
  /** None for undefined. */
  compressorFor(name: string, sizeBytes: number): CompressorName | undefined;
  /** Of directories, links and indexes; none for undefined. */
  readonly metadataCompressor: CompressorName | undefined;
  /** The repository's for undefined. */
  readonly splitter: string | undefined;
  /** Longer files are stored in parts of this length; never for undefined. */
  readonly partBytes: number | undefined;
  readonly ignoreFileErrors: boolean;
  readonly ignoreDirectoryErrors: boolean;
  readonly ignoreUnknownTypes: boolean;
}

/** Policies by place: those of one directory, and of what is in it. */
export interface UploadRuleTree {
  readonly rules: UploadRules;
  /** The same object where nothing changes. */
  child(name: string): UploadRuleTree;
}

/** Kopia's built-in policy. */
export const defaultUploadRules: UploadRules = {
  compressorFor: () => undefined,
  metadataCompressor: "zstd-fastest",
  splitter: undefined,
  partBytes: 2 ** 31,
  ignoreFileErrors: false,
  ignoreDirectoryErrors: false,
  ignoreUnknownTypes: true,
};

export const uniformRules = (rules: UploadRules): UploadRuleTree => {
  const tree: UploadRuleTree = { rules, child: () => tree };
  return tree;
};

/** Chooses what of a directory is backed up. */
export type EntryFilter = (
  directory: SourceDirectory,
  entries: readonly SourceEntry[],
) => Promise<readonly SourceEntry[]>;
