/**
 * What is left out of a snapshot, directory by directory: rules of policies and of files like `.kopiaignore`, in the order in
 * which Kopia asks them; sizes; other file systems; cache directories.
 * Format: docs/format/policies.md. Proof: test/ignore-context.test.ts, test/ignore.kopia.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import { decodeFileName } from "../source/file-names.ts";
import type { SourceEntry } from "../source/source-entry.ts";
import { compileIgnorePattern, type IgnorePattern } from "./ignore-pattern.ts";
import type { PolicyTree } from "./policy-tree.ts";

/**
 * Reads a file of rules in the directory at hand: its bytes, symlinks followed; undefined when there is no such file (or it is
 * a directory). What it throws, a link that leads nowhere for one, counts as a failure of the directory.
 */
export type ReadDotFile = (name: string) => Promise<Uint8Array | undefined>;

/** Larger files of rules are refused. */
export const maxDotFileBytes = 1 << 20;

/** The file that marks a directory as a cache (https://bford.info/cachedir/), and how it begins. */
export const cacheDirectoryTag = {
  name: "CACHEDIR.TAG",
  signature: "Signature: 8a477f597d28d172789f06886806bc55",
} as const;

/** Rules and limits that several directories share: those that add none of their own use their parent's. */
interface Rules {
  readonly parent: Rules | undefined;
  readonly patterns: readonly IgnorePattern[];
  /** Length of the path of the directory that holds the rules. */
  readonly baseLength: number;
  /** Whether these rules or some above can match at all. */
  readonly hasPatterns: boolean;
  readonly dotFiles: readonly string[];
  readonly maxFileSizeBytes: number;
  readonly oneFileSystem: boolean;
}

/**
 * One directory of the source. Immutable; a context for each directory that is open suffices.
 * @example
 * const root = await IgnoreContext.forRoot(await policyTree(repository, source), readRootFile);
 * const logs = await root.enter("logs", readFileOfLogs);
 * if (logs.isIgnored(entry.name, entry.type === "d")) return;
 * if (logs.isBeyondLimits(entry, logsDirectory.deviceId)) return;
 * const { policy } = logs.policies.child(entry.name);
 */
export class IgnoreContext {
  /** The policies of this directory. */
  readonly policies: PolicyTree;
  /** From the root: empty there, `/a/b` below. */
  readonly #path: string;
  readonly #rules: Rules;

  private constructor(policies: PolicyTree, path: string, rules: Rules) {
    this.policies = policies;
    this.#path = path;
    this.#rules = rules;
  }

  /**
   * @throws {FormatError} `DM_IGNORE_RULE_INVALID`, `DM_IGNORE_FILE_TOO_LARGE`
   */
  static async forRoot(policies: PolicyTree, readDotFile: ReadDotFile): Promise<IgnoreContext> {
    return new IgnoreContext(policies, "", await rulesOf(policies, "", undefined, readDotFile));
  }

  /**
   * The context of a directory of this one. Asks for a file of rules by each name that may hold them: once or never.
   * @throws {FormatError} `DM_IGNORE_RULE_INVALID`, `DM_IGNORE_FILE_TOO_LARGE`: the directory counts as unreadable
   */
  async enter(name: string, readDotFile: ReadDotFile): Promise<IgnoreContext> {
    const policies = this.policies.child(name);
    const path = `${this.#path}/${name}`;
    const rules = await rulesOf(policies, path, this.#rules, readDotFile);
    return new IgnoreContext(policies, path, rules);
  }

  /** Whether rules leave out an entry of this directory, and with a directory all that it holds. */
  isIgnored(name: string, isDirectory: boolean): boolean {
    if (!this.#rules.hasPatterns) return false;
    return verdict(this.#rules, `${this.#path}/${name}`, isDirectory);
  }

  /** Whether an entry that no rule leaves out is too large, or on another file system than this directory. */
  isBeyondLimits(entry: SourceEntry, directoryDeviceId?: bigint): boolean {
    const { maxFileSizeBytes, oneFileSystem } = this.#rules;
    if (entry.type === "failure") return false;
    if (maxFileSizeBytes > 0 && entry.type !== "d" && entry.sizeBytes > maxFileSizeBytes)
      return true;
    return oneFileSystem && entry.deviceId !== directoryDeviceId;
  }
}

/**
 * Whether a directory that holds this file is a cache, which is stored as an empty directory unless `ignoreCacheDirs` is
 * false in its policy.
 * @param bytes the beginning of the regular file `CACHEDIR.TAG`, at least 43 bytes if it has them
 */
export function isCacheDirectoryTag(bytes: Uint8Array): boolean {
  const { signature } = cacheDirectoryTag;
  if (bytes.length < signature.length) return false;
  for (let index = 0; index < signature.length; index++)
    if (bytes[index] !== signature.charCodeAt(index)) return false;
  return true;
}

/** Rules above are asked first; each rule can only turn the verdict so far. */
function verdict(rules: Rules, path: string, isDirectory: boolean): boolean {
  let ignored = rules.parent?.hasPatterns ? verdict(rules.parent, path, isDirectory) : false;
  if (rules.patterns.length === 0) return ignored;
  const below = rules.baseLength === 0 ? path : path.slice(rules.baseLength);
  for (const pattern of rules.patterns) {
    if (ignored === pattern.isNegated && pattern.matches(below, isDirectory)) ignored = !ignored;
  }
  return ignored;
}

async function rulesOf(
  policies: PolicyTree,
  path: string,
  parent: Rules | undefined,
  readDotFile: ReadDotFile,
): Promise<Rules> {
  const files = policies.isDefined ? policies.policy.files : undefined;
  const dotFiles = files ? (files.ignoreDotFiles ?? []) : (parent?.dotFiles ?? []);
  const ofRoot = parent === undefined;
  const patterns = (files?.ignore ?? []).map((rule) => compileIgnorePattern(rule, ofRoot));
  for (const name of dotFiles) {
    const bytes = await readDotFile(name);
    if (bytes) for (const pattern of parseDotFile(bytes, name, ofRoot)) patterns.push(pattern);
  }
  if (parent && !files && patterns.length === 0) return parent;
  return {
    parent,
    patterns,
    baseLength: path.length,
    hasPatterns: patterns.length > 0 || (parent?.hasPatterns ?? false),
    dotFiles: [...new Set(dotFiles)],
    maxFileSizeBytes: files?.maxFileSize || (parent?.maxFileSizeBytes ?? 0),
    oneFileSystem: files ? (files.oneFileSystem ?? false) : (parent?.oneFileSystem ?? false),
  };
}

/** A line that is longer ends the file for Kopia, without a word. */
const maxLineBytes = 65_535;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Rules of a file, one a line, read as names are; a byte order mark is part of the first rule. */
function parseDotFile(bytes: Uint8Array, name: string, ofRoot: boolean): IgnorePattern[] {
  if (bytes.length > maxDotFileBytes) {
    throw new FormatError(
      "DM_IGNORE_FILE_TOO_LARGE",
      `${name} has ${bytes.length} bytes of ignore rules, at most ${maxDotFileBytes} are read`,
      { name, length: bytes.length },
    );
  }
  const patterns: IgnorePattern[] = [];
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(lineFeed, start);
    const next = found < 0 ? bytes.length : found;
    if (next - start > maxLineBytes) break;
    const stop = next > start && bytes[next - 1] === carriageReturn ? next - 1 : next;
    const line = decodeFileName(bytes.subarray(start, stop));
    if (!line.startsWith("#") && /\P{White_Space}/u.test(line))
      patterns.push(compileIgnorePattern(line, ofRoot));
    start = next + 1;
  }
  return patterns;
}
