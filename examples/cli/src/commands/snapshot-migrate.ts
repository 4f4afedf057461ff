/** `dm snapshot migrate`. */
import {
  type MigrateEvent,
  type MigrateReport,
  migrateSnapshots,
  type SnapshotSource,
} from "@dm/snapshot";
import { createDataPlane } from "@dm/snapshot/node";
import type { Command } from "commander";
import { runDueMaintenance } from "../due-maintenance.ts";
import { LossError, UsageError } from "../io.ts";
import { hidden, repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import { parseSource, sourceText } from "../snapshot-text.ts";
import { openSourceRepository } from "../source-repository.ts";
import { formatTimestamp, parsePositive } from "../text.ts";
import { UploadLine } from "../upload-line.ts";

interface MigrateCommandOptions {
  readonly sourceConfig: string;
  readonly sources?: readonly string[];
  readonly all?: boolean;
  readonly policies: boolean;
  readonly overwritePolicies?: boolean;
  readonly latestOnly?: boolean;
  readonly applyIgnoreRules?: boolean;
  readonly parallel: number;
}

export function snapshotMigrateCommand(parent: Command, session: Session): void {
  parent
    .command("migrate")
    .description("Copy snapshots and policies of another repository into the connected one")
    .requiredOption("--source-config <file>", "configuration file of the other repository")
    .addOption(repeatable("--sources <source>", "all snapshots of a source"))
    .option("--all", "of all sources")
    .addOption(hidden("--policies").default(true))
    .option("--no-policies", "leave policies where they are")
    .option("--overwrite-policies", "also where this repository has other ones")
    .option("--latest-only", "only the newest snapshot of each source")
    .option("--apply-ignore-rules", "leave out what policies of this repository ignore")
    .option("--parallel <count>", "sources under way at once", parsePositive, 1)
    .action(async (options: MigrateCommandOptions) => {
      if (!options.all && !options.sources)
        throw new UsageError("must specify either --all or --sources");
      const report = await migrate(session, options);
      session.say("Migration finished.");
      await runDueMaintenance(session);
      const { entriesFailed, policiesFailed, snapshotsFailed } = report;
      if (entriesFailed + policiesFailed + snapshotsFailed > 0)
        throw new LossError(
          `could not be read: ${snapshotsFailed} snapshots, ${entriesFailed} entries of others, ${policiesFailed} policies`,
        );
    });
}

async function migrate(session: Session, options: MigrateCommandOptions): Promise<MigrateReport> {
  const { parallel } = options;
  const to = await session.repository();
  const { client, repository: from } = await openSourceRepository(session, options.sourceConfig);
  try {
    const sources: SnapshotSource[] = [];
    for (const text of options.sources ?? [])
      sources.push(await parseSource(session, text, client));
    using line = new UploadLine(session);
    return await migrateSnapshots(from, to, {
      sources: sources.length > 0 ? sources : undefined,
      policies: options.policies,
      overwritePolicies: options.overwritePolicies,
      latestOnly: options.latestOnly,
      applyIgnoreRules: options.applyIgnoreRules,
      parallel,
      // Threads of their own for each of several sources would be too many.
      openDataPlane: parallel === 1 ? createDataPlane : undefined,
      signal: session.signal,
      onProgress: parallel === 1 ? line.show : undefined,
      onEvent: (event) => {
        line.clear();
        say(session, event);
      },
    });
  } finally {
    await from.close();
  }
}

function say(session: Session, event: MigrateEvent): void {
  const warn = (text: string): void => session.messages.say(text, "warning");
  if ("target" in event) {
    const { host, path, userName } = event.target;
    const target = host === "" ? "(global)" : sourceText({ source: { host, path, userName } });
    if (event.type === "policyFailed")
      warn(`unable to migrate policy for ${target}: ${event.error.message}`);
    else if (event.type === "policyKept") session.say(`policy already set for ${target}`);
    else session.say(`migrating policy for ${target}`);
    return;
  }
  if (event.type === "snapshotUnreadable") {
    warn(`${event.error.message} [${event.error.code}]`);
    return;
  }
  const { snapshot } = event;
  const name = `${sourceText(snapshot)} at ${formatTimestamp(snapshot.startedAtNs)}`;
  if (event.type === "snapshotBegun") session.say(`migrating snapshot of ${name}`);
  else if (event.type === "snapshotKept") session.say(`already migrated ${name}`);
  else if (event.type === "snapshotFailed")
    warn(`unable to migrate ${name}: ${event.error.message} [${event.error.code}]`);
  else if (event.type === "entryFailed")
    warn(`left out of ${name}: ${event.failure.path}: ${event.failure.text}`);
}
