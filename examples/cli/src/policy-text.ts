/** An effective policy as `policy show` prints it: a table of fields, values, and where each comes from. */
import { formatDuration } from "@dm/repo";
import {
  type ActionCommand,
  type EffectivePolicy,
  globalPolicyTarget,
  type PolicyTarget,
} from "@dm/snapshot";
import type { Io } from "./io.ts";
import { targetText } from "./policy-targets.ts";
import { formatBytes } from "./text.ts";

type Row = readonly [name: string, value?: string, from?: string];

const emptyRow: Row = [""];
const nsPerSecond = 1_000_000_000n;
const shadowCopyModes = ["never", "always", "when-available"];

export function policyText(io: Pick<Io, "env">, effective: EffectivePolicy): string {
  const rows = new PolicyRows(io, effective);
  const sections = [
    rows.retention(),
    rows.files(),
    rows.errorHandling(),
    rows.scheduling(),
    rows.upload(),
    rows.compression(),
    rows.metadataCompression(),
    rows.splitter(),
    rows.actions(),
    rows.osSnapshots(),
    rows.logging(),
  ];
  const all = sections.flatMap((section, index) =>
    index === 0 ? section : [emptyRow, ...section],
  );
  return `Policy for ${targetText(effective.target)}:\n\n${aligned(all)}\n`;
}

const lengthOf = (text: string): number => Buffer.byteLength(text);

/** Values end in one column, measured in bytes as kopia measures. */
function aligned(rows: readonly Row[]): string {
  let width = 0;
  for (const [name, value] of rows)
    if (value) width = Math.max(width, lengthOf(name) + 3 + lengthOf(value));
  return rows
    .map(([name, value = "", from = ""]) => {
      const spaces = Math.max(0, width - lengthOf(name) - lengthOf(value));
      const line = value !== "" || from !== "" ? `${name}${" ".repeat(spaces)}${value}` : name;
      return from === "" ? line : `${line}   ${from}`;
    })
    .join("\n");
}

class PolicyRows {
  readonly #io: Pick<Io, "env">;
  readonly #effective: EffectivePolicy;

  constructor(io: Pick<Io, "env">, effective: EffectivePolicy) {
    this.#io = io;
    this.#effective = effective;
  }

  retention(): Row[] {
    const { retention } = this.#effective.policy;
    const kept = (title: string, name: `keep${string}` & keyof typeof retention): Row =>
      this.#row(`  ${title} snapshots:`, numberText(retention[name]), `retention.${name}`);
    return [
      ["Retention:"],
      kept("Annual", "keepAnnual"),
      kept("Monthly", "keepMonthly"),
      kept("Weekly", "keepWeekly"),
      kept("Daily", "keepDaily"),
      kept("Hourly", "keepHourly"),
      kept("Latest", "keepLatest"),
      this.#row(
        "  Ignore identical snapshots:",
        String(retention.ignoreIdenticalSnapshots ?? false),
        "retention.ignoreIdenticalSnapshots",
      ),
    ];
  }

  files(): Row[] {
    const { files } = this.#effective.policy;
    const rows: Row[] = [["Files policy:"]];
    const cacheDirs = String(files.ignoreCacheDirs ?? true);
    rows.push(this.#row("  Ignore cache directories:", cacheDirs, "files.ignoreCacheDirs"));
    if (files.ignore?.length) {
      rows.push(this.#row("  Ignore rules:", "", "files.ignore"));
      rows.push(...indented(files.ignore));
    } else {
      rows.push(["  No ignore rules:"]);
    }
    if (files.ignoreDotFiles?.length) {
      rows.push(this.#row("  Read ignore rules from files:", "", "files.ignoreDotFiles"));
      rows.push(...indented(files.ignoreDotFiles));
    }
    const { maxFileSize = 0, oneFileSystem = false } = files;
    if (maxFileSize > 0)
      rows.push(this.#row("  Ignore files above:", this.#bytes(maxFileSize), "files.maxFileSize"));
    const one = String(oneFileSystem);
    return [...rows, this.#row("  Scan one filesystem only:", one, "files.oneFileSystem")];
  }

  errorHandling(): Row[] {
    const { errorHandling } = this.#effective.policy;
    const flag = (title: string, name: keyof typeof errorHandling, byDefault: boolean): Row =>
      this.#row(title, String(errorHandling[name] ?? byDefault), `errorHandling.${name}`);
    return [
      ["Error handling policy:"],
      flag("  Ignore file read errors:", "ignoreFileErrors", false),
      flag("  Ignore directory read errors:", "ignoreDirectoryErrors", false),
      flag("  Ignore unknown types:", "ignoreUnknownTypes", true),
    ];
  }

  scheduling(): Row[] {
    const { scheduling } = this.#effective.policy;
    const { cron = [], intervalSeconds = 0, timeOfDay = [] } = scheduling;
    const rows: Row[] = [["Scheduling policy:"], ["  Scheduled snapshots:"]];
    if (intervalSeconds !== 0) {
      const interval = secondsText(intervalSeconds);
      rows.push(this.#row("    Snapshot interval:", interval, "scheduling.intervalSeconds"));
    }
    if (timeOfDay.length > 0) {
      const runMissed = String(scheduling.runMissed ?? false);
      rows.push(this.#row("  Run missed snapshots:", runMissed, "scheduling.runMissed"));
      rows.push(this.#row("  Snapshot times:", "", "scheduling.timeOfDay"));
      rows.push(...indented(timeOfDay.map(timeText)));
    }
    if (cron.length > 0) {
      rows.push(this.#row("  Crontab expressions:", "", "scheduling.cron"));
      rows.push(...indented(cron));
    }
    if (intervalSeconds === 0 && timeOfDay.length === 0 && cron.length === 0)
      rows.push(["    None."]);
    const manual = String(scheduling.manual ?? false);
    return [...rows, this.#row("  Manual snapshot:", manual, "scheduling.manual")];
  }

  upload(): Row[] {
    const { upload } = this.#effective.policy;
    const { maxParallelFileReads, maxParallelSnapshots, parallelUploadAboveSize } = upload;
    const above =
      parallelUploadAboveSize === undefined ? "-" : this.#bytes(parallelUploadAboveSize);
    return [
      ["Uploads:"],
      this.#row(
        "  Max parallel snapshots (server/UI):",
        numberText(maxParallelSnapshots),
        "upload.maxParallelSnapshots",
      ),
      this.#row(
        "  Max parallel file reads:",
        numberText(maxParallelFileReads),
        "upload.maxParallelFileReads",
      ),
      this.#row("  Parallel upload above size:", above, "upload.parallelUploadAboveSize"),
    ];
  }

  compression(): Row[] {
    const { compression } = this.#effective.policy;
    const { compressorName = "", maxSize = 0, minSize = 0 } = compression;
    const { neverCompress = [], onlyCompress = [] } = compression;
    if (compressorName === "" || compressorName === "none") return [["Compression disabled."]];
    const rows: Row[] = [
      ["Compression:"],
      this.#row("  Compressor:", compressorName, "compression.compressorName"),
    ];
    if (onlyCompress.length > 0) {
      const title = "  Only compress files with the following extensions:";
      rows.push(this.#row(title, "", "compression.onlyCompress"));
      rows.push(...onlyCompress.map((extension): Row => [`     - ${extension}`]));
    } else if (neverCompress.length > 0) {
      const title = "  Compress all files except the following extensions:";
      rows.push(this.#row(title, "", "compression.neverCompress"));
      rows.push(...indented(neverCompress));
    } else {
      rows.push(["  Compress files regardless of extensions."]);
    }
    if (maxSize > 0) {
      const range = `${this.#bytes(minSize)} and ${this.#bytes(maxSize)}`;
      return [...rows, [`  Only compress files between ${range}.`]];
    }
    if (minSize > 0)
      return [...rows, [`  Only compress files bigger than ${this.#bytes(minSize)}.`]];
    return [...rows, ["  Compress files of all sizes."]];
  }

  metadataCompression(): Row[] {
    const { compressorName = "" } = this.#effective.policy.metadataCompression;
    if (compressorName === "" || compressorName === "none")
      return [["Metadata compression disabled."]];
    return [
      ["Metadata compression:"],
      this.#row("  Compressor:", compressorName, "metadataCompression.compressorName"),
    ];
  }

  splitter(): Row[] {
    const algorithm = this.#effective.policy.splitter.algorithm ?? "(repository default)";
    return [["Splitter:"], this.#row("  Algorithm override:", algorithm, "splitter.algorithm")];
  }

  actions(): Row[] {
    const { actions } = this.#effective.policy;
    const { afterFolder, afterSnapshotRoot, beforeFolder, beforeSnapshotRoot } = actions;
    const rows: Row[] = [];
    const inherited = (when: string, name: string, command: ActionCommand | undefined): void => {
      if (!command) return;
      rows.push(this.#row(`Run command ${when} snapshot root:`, "", `actions.${name}`));
      rows.push(...commandRows(command));
    };
    const own = (when: string, command: ActionCommand | undefined): void => {
      if (!command) return;
      rows.push([`Run command ${when} this folder:`, "", "(non-inheritable)"]);
      rows.push(...commandRows(command));
    };
    inherited("before", "beforeSnapshotRoot", beforeSnapshotRoot);
    inherited("after", "afterSnapshotRoot", afterSnapshotRoot);
    own("before", beforeFolder);
    own("after", afterFolder);
    return rows.length > 0 ? rows : [["No actions defined."]];
  }

  osSnapshots(): Row[] {
    const { enable = 0 } = this.#effective.policy.osSnapshots.volumeShadowCopy;
    const mode = shadowCopyModes[enable] ?? "never";
    return [
      ["OS-level snapshot support:"],
      this.#row("  Volume Shadow Copy:", mode, "osSnapshots.volumeShadowCopy.enable"),
    ];
  }

  logging(): Row[] {
    const { directories, entries } = this.#effective.policy.logging;
    const detail = (title: string, value: number | undefined, field: string): Row =>
      this.#row(title, String(value ?? 0), `logging.${field}`);
    return [
      ["Logging details (0-none, 10-maximum):"],
      detail("  Directory snapshotted:", directories.snapshotted, "directories.snapshotted"),
      detail("  Directory ignored:", directories.ignored, "directories.ignored"),
      detail("  Entry snapshotted:", entries.snapshotted, "entries.snapshotted"),
      detail("  Entry ignored:", entries.ignored, "entries.ignored"),
      detail("  Entry cache hit:", entries.cacheHit, "entries.cacheHit"),
      detail("  Entry cache miss:", entries.cacheMiss, "entries.cacheMiss"),
    ];
  }

  #row(name: string, value: string, field: string): Row {
    return [name, value, this.#from(field)];
  }

  /** Fields that nothing defines come from the global policy, for kopia. */
  #from(field: string): string {
    const { definedBy, target } = this.#effective;
    const source = definedBy.get(field) ?? globalPolicyTarget;
    return isSame(source, target)
      ? "(defined for this target)"
      : `inherited from ${targetText(source)}`;
  }

  #bytes(bytes: number): string {
    return formatBytes(this.#io, bytes);
  }
}

const isSame = (a: PolicyTarget, b: PolicyTarget): boolean => targetText(a) === targetText(b);

const numberText = (value: number | undefined): string =>
  value === undefined ? "-" : String(value);

const indented = (texts: readonly string[]): Row[] => texts.map((text): Row => [`    ${text}`]);

export const timeText = ({ hour, min }: { readonly hour: number; readonly min: number }): string =>
  `${hour}:${String(min).padStart(2, "0")}`;

export const secondsText = (seconds: number): string =>
  formatDuration(BigInt(seconds) * nsPerSecond);

function commandRows({ args = [], mode, path = "", script, timeout = 0 }: ActionCommand): Row[] {
  const what: Row[] = script
    ? [
        ["  Embedded script (stored in repository):"],
        [
          script
            .split("\n")
            .map((line) => `    ${line}`)
            .join("\n"),
        ],
      ]
    : [["  Command:"], [`    ${path} ${args.join(" ")}`]];
  return [...what, ["  Mode:", mode || "sync"], ["  Timeout:", secondsText(timeout)], emptyRow];
}
