/** `dm policy show`. */
import { effectivePolicy, encodePolicy } from "@dm/snapshot";
import type { Command } from "commander";
import { hidden } from "../options.ts";
import { type TargetOptions, targetsOf, withTargets } from "../policy-targets.ts";
import { policyText } from "../policy-text.ts";
import type { Session } from "../session.ts";
import { indented } from "../text.ts";

interface ShowOptions extends TargetOptions {
  readonly json?: boolean;
  readonly jsonIndent?: boolean;
}

export function policyShowCommand(parent: Command, session: Session): void {
  withTargets(parent.command("show").alias("get"))
    .description("Show the policy that holds for a target, and where each field comes from")
    .option("--json", "output as JSON")
    .addOption(hidden("--json-indent"))
    .action(async (texts: readonly string[], options: ShowOptions) => {
      const { io, signal } = session;
      const repository = await session.repository();
      for (const target of await targetsOf(session, repository, texts, options)) {
        const effective = await effectivePolicy(repository, target, { signal });
        const json = encodePolicy(effective.policy);
        if (options.jsonIndent) await io.out(`${indented(json)}\n`);
        else if (options.json) await io.out(`${json}\n`);
        else await io.out(policyText(io, effective));
      }
    });
}
