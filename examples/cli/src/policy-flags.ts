/**
 * The flags of `policy set`: which field of a policy each one changes, what its text means, and what kopia calls it.
 * @module
 */
import { compressors } from "@dm/compression";
import { splitterAlgorithms } from "@dm/splitter";
import { type Command, Option } from "commander";
import { hidden, repeatable } from "./options.ts";
import { parseDuration } from "./text.ts";

const booleans = ["true", "false", "inherit"];
const compressorNames = ["inherit", "none", ...Object.keys(compressors).sort()];
export const shadowCopyModes = ["never", "always", "when-available"];

export type Kind = "integer" | "size" | "mebibytes" | "boolean" | "detail" | "name" | "mode";

export interface ValueFlag {
  readonly flag: string;
  readonly help: string;
  /** Sections and the name of the field, joined by dots. */
  readonly field: string;
  readonly kind: Kind;
  /** What kopia calls it in its messages. */
  readonly called: string;
  readonly choices?: readonly string[];
}

export interface ListFlags {
  /** `--add-<what>`, `--remove-<what>`, `--clear-<what>`. */
  readonly what: string;
  /** What the help calls a value. */
  readonly argument: string;
  readonly help: string;
  readonly field: string;
  readonly called: string;
}

const kept = (period: string): ValueFlag => ({
  flag: `--keep-${period} <N>`,
  help: `${period} snapshots to keep of each source`,
  field: `retention.keep${period[0]!.toUpperCase()}${period.slice(1)}`,
  kind: "integer",
  called: `number of ${period} backups to keep`,
});

const logged = (what: string, section: string, name: string, called: string): ValueFlag => ({
  flag: `--log-${what} <0-10>`,
  help: `detail of the log: ${called.replace(" detail", "")}`,
  field: `logging.${section}.${name}`,
  kind: "detail",
  called,
});

const flag = (
  flags: string,
  help: string,
  field: string,
  kind: Kind,
  called: string,
  choices?: readonly string[],
): ValueFlag => ({ flag: flags, help, field, kind, called, ...(choices && { choices }) });

/** In the order in which kopia applies them. */
export const steps: readonly (ValueFlag | ListFlags)[] = [
  ...["annual", "monthly", "weekly", "daily", "hourly", "latest"].map(kept),
  flag(
    "--ignore-identical-snapshots <boolean>",
    "do not save a snapshot that is equal to the one before",
    "retention.ignoreIdenticalSnapshots",
    "boolean",
    "do not save identical snapshots",
    booleans,
  ),
  flag(
    "--max-file-size <bytes>",
    "leave out larger files",
    "files.maxFileSize",
    "size",
    "maximum file size",
  ),
  {
    what: "dot-ignore",
    argument: "name",
    help: "files that hold ignore rules",
    field: "files.ignoreDotFiles",
    called: "dot-ignore filenames",
  },
  {
    what: "ignore",
    argument: "rule",
    help: "ignore rules",
    field: "files.ignore",
    called: "ignore rules",
  },
  flag(
    "--ignore-cache-dirs <boolean>",
    "store directories with a cache tag as empty ones",
    "files.ignoreCacheDirs",
    "boolean",
    "ignore cache dirs",
    booleans,
  ),
  flag(
    "--one-file-system <boolean>",
    "leave out what lies on other file systems",
    "files.oneFileSystem",
    "boolean",
    "one filesystem",
    booleans,
  ),
  flag(
    "--ignore-file-errors <boolean>",
    "go on without files that cannot be read",
    "errorHandling.ignoreFileErrors",
    "boolean",
    "ignore file errors",
    booleans,
  ),
  flag(
    "--ignore-dir-errors <boolean>",
    "go on without directories that cannot be read",
    "errorHandling.ignoreDirectoryErrors",
    "boolean",
    "ignore directory errors",
    booleans,
  ),
  flag(
    "--ignore-unknown-types <boolean>",
    "leave out devices, pipes and sockets",
    "errorHandling.ignoreUnknownTypes",
    "boolean",
    "ignore unknown types",
    booleans,
  ),
  flag(
    "--compression-min-size <bytes>",
    "compress files from this size on",
    "compression.minSize",
    "size",
    "minimum file size subject to compression",
  ),
  flag(
    "--compression-max-size <bytes>",
    "compress files up to this size",
    "compression.maxSize",
    "size",
    "maximum file size subject to compression",
  ),
  flag(
    "--compression <name>",
    "compression of files",
    "compression.compressorName",
    "name",
    "compression algorithm",
    compressorNames,
  ),
  {
    what: "only-compress",
    argument: "extension",
    help: "extensions to compress always",
    field: "compression.onlyCompress",
    called: "only-compress extensions",
  },
  {
    what: "never-compress",
    argument: "extension",
    help: "extensions never to compress",
    field: "compression.neverCompress",
    called: "never-compress extensions",
  },
  flag(
    "--metadata-compression <name>",
    "compression of directories",
    "metadataCompression.compressorName",
    "name",
    "metadata compression algorithm",
    compressorNames,
  ),
  flag(
    "--splitter <name>",
    "splitter of files",
    "splitter.algorithm",
    "name",
    "splitter algorithm override",
    ["inherit", ...Object.keys(splitterAlgorithms).sort()],
  ),
];

/** Behind the schedule and the actions. */
export const lateSteps: readonly ValueFlag[] = [
  flag(
    "--enable-volume-shadow-copy <mode>",
    "snapshots of the file system, on Windows",
    "osSnapshots.volumeShadowCopy.enable",
    "mode",
    "enable volume shadow copy",
    [...shadowCopyModes, "inherit"],
  ),
  logged("dir-snapshotted", "directories", "snapshotted", "directory snapshotted detail"),
  logged("dir-ignored", "directories", "ignored", "directory ignored detail"),
  logged("entry-snapshotted", "entries", "snapshotted", "entry snapshotted detail"),
  logged("entry-ignored", "entries", "ignored", "entry ignored detail"),
  logged("entry-cache-hit", "entries", "cacheHit", "entry cache hit detail"),
  logged("entry-cache-miss", "entries", "cacheMiss", "entry cache miss detail"),
  flag(
    "--max-parallel-file-reads <count>",
    "files that are read at once",
    "upload.maxParallelFileReads",
    "integer",
    "max parallel file reads",
  ),
  flag(
    "--max-parallel-snapshots <count>",
    "snapshots that kopia's server makes at once",
    "upload.maxParallelSnapshots",
    "integer",
    "max parallel snapshots",
  ),
  flag(
    "--parallel-upload-above-size-mib <MiB>",
    "store larger files in parts of this size",
    "upload.parallelUploadAboveSize",
    "mebibytes",
    "parallel upload above size",
  ),
];

export const runMissed = flag(
  "--run-missed <boolean>",
  "make up for snapshots that were missed",
  "scheduling.runMissed",
  "boolean",
  "run missed snapshots",
  booleans,
);

export const actions = [
  ["before-folder", "beforeFolder"],
  ["after-folder", "afterFolder"],
  ["before-snapshot-root", "beforeSnapshotRoot"],
  ["after-snapshot-root", "afterSnapshotRoot"],
] as const;

const valueOption = ({ choices, flag: flags, help }: ValueFlag): Option => {
  const option = new Option(flags, choices ? help : `${help}, or inherit`);
  return choices ? option.choices([...choices]) : option;
};

export function addPolicyFlags(command: Command): void {
  for (const step of steps) {
    if ("flag" in step) {
      command.addOption(valueOption(step));
      continue;
    }
    const { help, argument, what } = step;
    command.addOption(repeatable(`--add-${what} <${argument}>`, `add to the ${help}`));
    command.addOption(repeatable(`--remove-${what} <${argument}>`, `remove from the ${help}`));
    command.option(`--clear-${what}`, `remove all ${help}`);
  }
  command
    .option("--snapshot-interval <duration>", "time between snapshots", parseDuration)
    .addOption(repeatable("--snapshot-time <times>", "times of the day, HH:MM,HH:MM, or inherit"))
    .option("--snapshot-time-crontab <expressions>", "crontab, separated by ;, or inherit")
    .addOption(valueOption(runMissed))
    .option("--manual", "snapshots are only made by hand")
    .addOption(hidden("--no-manual"));
  for (const [name] of actions)
    command.option(`--${name}-action <command>`, "program that kopia runs then; none removes it");
  command
    .option(
      "--action-command-timeout <duration>",
      "time that actions may take",
      parseDuration,
      300_000,
    )
    .addOption(
      new Option("--action-command-mode <mode>", "what a failing action means")
        .choices(["essential", "optional", "async"])
        .default("essential"),
    )
    .option("--persist-action-script", "the actions are files whose text is stored");
  for (const step of lateSteps) command.addOption(valueOption(step));
  command.addOption(
    new Option("--inherit <boolean>", "whether to inherit from policies of parents").choices([
      "true",
      "false",
    ]),
  );
}

/** `--add-only-compress <extension>` is `addOnlyCompress`, as the parser names it. */
export const attributeOf = (flags: string): string =>
  new Option(flags.includes(" ") ? flags : `${flags} <value>`).attributeName();
