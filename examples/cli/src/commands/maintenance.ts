/** `dm maintenance info|run|set`. */
import {
  defaultMaintenanceParameters,
  formatDuration,
  formatTime,
  type MaintenanceParameters,
  type MaintenanceRun,
  type MaintenanceSchedule,
  pauseMaintenance,
  type Repository,
  readMaintenanceParameters,
  readSchedule,
  writeMaintenanceParameters,
} from "@dm/repo";
import { forecastSpace } from "@dm/snapshot";
import { type Command, Option } from "commander";
import { runMaintenanceAloud } from "../due-maintenance.ts";
import { UsageError } from "../io.ts";
import { hidden } from "../options.ts";
import type { Session } from "../session.ts";
import { formatBytes, formatTimestamp, goJson, parseCount, parseDuration } from "../text.ts";
import { forecastText } from "./maintenance-forecast.ts";
import { runSummary } from "./maintenance-summary.ts";

const nsOf = (ms: number): number => Math.round(ms * 1e6);

export function maintenanceCommands(parent: Command, session: Session): void {
  const maintenance = parent.command("maintenance").description("Maintenance commands");
  infoCommand(maintenance, session);
  runCommand(maintenance, session);
  setCommand(maintenance, session);
}

function infoCommand(maintenance: Command, session: Session): void {
  maintenance
    .command("info")
    .alias("status")
    .description("Show the parameters and past runs")
    .option("--json", "output as JSON")
    .action(async (options: { readonly json?: boolean }) => {
      const repository = await session.repository();
      const { signal } = session;
      const parameters = await readMaintenanceParameters(repository, { signal });
      const schedule = await readSchedule(repository.store, repository.openedFormat, { signal });
      if (options.json)
        await session.io.out(`${goJson({ ...parameters, schedule: jsonSchedule(schedule) })}\n`);
      else await session.io.out(infoText(session, parameters, schedule));
    });
}

const timeText = (ns: bigint): string => (ns === 0n ? "0001-01-01T00:00:00Z" : formatTime(ns));

function jsonSchedule(schedule: MaintenanceSchedule): unknown {
  const tasks = [...schedule.runs.keys()].sort();
  const runs = tasks.map((task) => [
    task,
    schedule.runs.get(task)!.map(({ startNs, endNs, success, error, extra }) => ({
      start: timeText(startNs),
      end: timeText(endNs),
      ...(success ? { success } : {}),
      ...(error ? { error } : {}),
      ...(extra === undefined ? {} : { extra }),
    })),
  ]);
  return {
    nextFullMaintenance: timeText(schedule.nextFullNs),
    nextQuickMaintenance: timeText(schedule.nextQuickNs),
    runs: tasks.length === 0 ? null : Object.fromEntries(runs),
  };
}

/** What was never set is kopia's default. */
function logRetentionOf({
  logRetention,
}: MaintenanceParameters): MaintenanceParameters["logRetention"] {
  const { maxAge, maxCount, maxTotalSize } = logRetention;
  const isSet = maxAge || maxCount || maxTotalSize;
  return isSet ? logRetention : defaultMaintenanceParameters("").logRetention;
}

function infoText(
  session: Session,
  parameters: MaintenanceParameters,
  schedule: MaintenanceSchedule,
): string {
  const lines = [`Owner: ${parameters.owner}`];
  const cycle = (title: string, cycleOf: MaintenanceParameters["quick"], nextNs: bigint): void => {
    lines.push(
      `${title} Cycle:`,
      `  scheduled: ${cycleOf.enabled}`,
      `  interval: ${formatDuration(BigInt(Math.round(cycleOf.interval)))}`,
    );
    if (!cycleOf.enabled) return;
    const leftNs = nextNs - session.clock.nowNs();
    const rounded = (leftNs / 1_000_000_000n) * 1_000_000_000n;
    lines.push(
      `  next run: ${leftNs <= 0n ? "now" : `${formatTimestamp(nextNs)} (in ${formatDuration(rounded)})`}`,
    );
  };
  cycle("Quick", parameters.quick, schedule.nextQuickNs);
  cycle("Full", parameters.full, schedule.nextFullNs);
  const { maxAge, maxCount, maxTotalSize } = logRetentionOf(parameters);
  lines.push(
    "Log Retention:",
    `  max count:       ${maxCount}`,
    `  max age of logs: ${formatDuration(BigInt(Math.round(maxAge)))}`,
    `  max total size:  ${formatBytes(session.io, maxTotalSize)}`,
    `Object Lock Extension: ${parameters.extendObjectLocks ? "enabled" : "disabled"}`,
    ...(parameters.listParallelism ? [`List parallelism: ${parameters.listParallelism}`] : []),
    "Recent Maintenance Runs:",
  );
  for (const task of [...schedule.runs.keys()].sort()) {
    const runs = schedule.runs.get(task)!.map((run) => runText(session, run));
    lines.push(`  ${task}:`, ...runs);
  }
  return `${lines.join("\n")}\n`;
}

function runText(session: Session, run: MaintenanceRun): string {
  const seconds = ((run.endNs - run.startNs) / 1_000_000_000n) * 1_000_000_000n;
  const summary = runSummary(run.extra, (bytes) => formatBytes(session.io, bytes));
  const success = summary ? `SUCCESS: ${summary}` : "SUCCESS";
  const outcome = run.success ? success : `ERROR: ${run.error ?? ""}`;
  return `    ${formatTimestamp(run.startNs)} (${formatDuration(seconds)}) ${outcome}`;
}

interface RunOptions {
  readonly full?: boolean;
  readonly quick?: boolean;
  readonly auto?: boolean;
  readonly safety: "full" | "none";
  readonly dryRun?: boolean;
  readonly force?: boolean;
}

function runCommand(maintenance: Command, session: Session): void {
  maintenance
    .command("run")
    .description("Run maintenance now")
    .option("--full", "full maintenance, garbage collection included")
    .option("--quick", "quick maintenance; the default")
    .option("--auto", "what is due")
    .addOption(
      new Option("--safety <level>", "safety level").choices(["full", "none"]).default("full"),
    )
    .option("--dry-run", "change nothing: say what full maintenance gives back, and when")
    .addOption(hidden("--force"))
    .action(async ({ dryRun, force, safety, ...chosen }: RunOptions) => {
      const modes = (["full", "quick", "auto"] as const).filter((mode) => chosen[mode]);
      if (modes.length > 1) throw new UsageError(`--${modes.join(" and --")} exclude each other`);
      const [mode = "quick"] = modes;
      if (dryRun) {
        const repository = await session.repository();
        const { signal } = session;
        const space = await forecastSpace(repository, { safety, runNow: mode === "full", signal });
        await session.io.out(forecastText(session, space));
        return;
      }
      await using lock = await session.maintenanceLock();
      void lock;
      const report = await runMaintenanceAloud(session, { mode, safety, force });
      if (report.mode === "none") session.say("Not due for maintenance.");
    });
}

interface SetOptions {
  readonly owner?: string;
  readonly enableQuick?: boolean;
  readonly enableFull?: boolean;
  readonly quickInterval?: number;
  readonly fullInterval?: number;
  readonly pauseQuick?: number;
  readonly pauseFull?: number;
  readonly maxRetainedLogCount?: number;
  readonly maxRetainedLogAge?: number;
  readonly maxRetainedLogSizeMb?: number;
  readonly extendObjectLocks?: boolean;
  readonly listParallelism?: number;
}

function parseSwitch(text: string): boolean {
  if (/^(true|1|t)$/i.test(text)) return true;
  if (/^(false|0|f)$/i.test(text)) return false;
  throw new UsageError(`takes true or false, not ${text}`);
}

function setCommand(maintenance: Command, session: Session): void {
  maintenance
    .command("set")
    .description("Set maintenance parameters")
    .option("--owner <user@host>", "who runs maintenance; `me` for this client")
    .option("--enable-quick <switch>", "true or false", parseSwitch)
    .option("--enable-full <switch>", "true or false", parseSwitch)
    .option("--quick-interval <duration>", "time between quick runs", parseDuration)
    .option("--full-interval <duration>", "time between full runs", parseDuration)
    .option("--pause-quick <duration>", "no quick run for this long", parseDuration)
    .option("--pause-full <duration>", "no full run for this long", parseDuration)
    .option("--max-retained-log-count <count>", "log blobs to keep", parseCount)
    .option("--max-retained-log-age <duration>", "age up to which logs are kept", parseDuration)
    .option("--max-retained-log-size-mb <size>", "total size of logs", parseCount)
    .option(
      "--extend-object-locks <switch>",
      "prolong object locks in full maintenance",
      parseSwitch,
    )
    .option("--list-parallelism <count>", "parallel listing", parseCount)
    .action(async (options: SetOptions) => {
      if (Object.keys(options).length === 0) throw new UsageError("no changes specified");
      const repository = await session.repository();
      const { signal } = session;
      const before = await readMaintenanceParameters(repository, { signal });
      const after = changed(before, options, repository.clientName);
      assertExtensionPossible(repository, after);
      const isChanged = JSON.stringify(before) !== JSON.stringify(after);
      if (isChanged) {
        await using write = await repository.openWriteSession({ signal });
        await writeMaintenanceParameters(write, after, { signal });
        await write.commit({ signal });
        session.say("Maintenance parameters changed.");
      }
      const pauses = { quick: options.pauseQuick, full: options.pauseFull };
      const isPaused = pauses.quick !== undefined || pauses.full !== undefined;
      if (isPaused) await pause(repository, pauses, session);
      if (!isChanged && !isPaused) session.say("no changes");
    });
}

async function pause(
  repository: Repository,
  pauses: { readonly quick: number | undefined; readonly full: number | undefined },
  session: Session,
): Promise<void> {
  const nowNs = session.clock.nowNs();
  await pauseMaintenance(repository.store, repository.openedFormat, {
    quickMs: pauses.quick,
    fullMs: pauses.full,
    nowNs,
    randomBytes: repository.randomBytes,
    signal: session.signal,
  });
  for (const [cycle, ms] of [
    ["Quick", pauses.quick],
    ["Full", pauses.full],
  ] as const) {
    if (ms === undefined) continue;
    session.say(`${cycle} maintenance paused until ${formatTimestamp(nowNs + BigInt(nsOf(ms)))}`);
  }
}

const dayNs = 86_400_000_000_000;

/** Locks that run out before the next full maintenance cannot be prolonged by it. */
function assertExtensionPossible(repository: Repository, after: MaintenanceParameters): void {
  const { retention } = repository.openedFormat.blobConfig;
  if (!after.extendObjectLocks || !retention) return;
  if (nsOf(retention.periodMs) - after.full.interval >= dayNs) return;
  const text = formatDuration(BigInt(nsOf(retention.periodMs)));
  throw new UsageError(
    `the retention period (${text}) must be at least 24 hours longer than the interval of full maintenance`,
  );
}

function changed(
  before: MaintenanceParameters,
  options: SetOptions,
  clientName: string,
): MaintenanceParameters {
  const logRetention = logRetentionOf(before);
  return {
    ...before,
    owner: options.owner === "me" ? clientName : (options.owner ?? before.owner),
    quick: {
      ...before.quick,
      enabled: options.enableQuick ?? before.quick.enabled,
      interval:
        options.quickInterval === undefined ? before.quick.interval : nsOf(options.quickInterval),
    },
    full: {
      ...before.full,
      enabled: options.enableFull ?? before.full.enabled,
      interval:
        options.fullInterval === undefined ? before.full.interval : nsOf(options.fullInterval),
    },
    logRetention: {
      ...logRetention,
      maxCount: options.maxRetainedLogCount ?? logRetention.maxCount,
      maxAge:
        options.maxRetainedLogAge === undefined
          ? logRetention.maxAge
          : nsOf(options.maxRetainedLogAge),
      maxTotalSize:
        options.maxRetainedLogSizeMb === undefined
          ? logRetention.maxTotalSize
          : options.maxRetainedLogSizeMb * 2 ** 20,
    },
    extendObjectLocks: options.extendObjectLocks ?? before.extendObjectLocks,
    listParallelism: options.listParallelism ?? before.listParallelism,
  };
}
