/** `dm policy delete`. */
import { deletePolicy } from "@dm/snapshot";
import type { Command } from "commander";
import { type TargetOptions, targetsOf, targetText, withTargets } from "../policy-targets.ts";
import type { Session } from "../session.ts";

export function policyDeleteCommand(parent: Command, session: Session): void {
  withTargets(parent.command("delete").aliases(["remove", "rm"]))
    .description("Remove what is defined for targets")
    .option("-n, --dry-run", "only say what would be removed")
    .action(
      async (texts: readonly string[], options: TargetOptions & { readonly dryRun?: boolean }) => {
        const { signal } = session;
        const repository = await session.repository();
        const targets = await targetsOf(session, repository, texts, options);
        for (const target of targets) session.say(`Removing policy on "${targetText(target)}"...`);
        if (options.dryRun) return;
        await using writer = await repository.openWriteSession({ signal });
        for (const target of targets) await deletePolicy(writer, target, { signal });
        await writer.commit({ signal });
      },
    );
}
