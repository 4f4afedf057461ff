/** `dm policy export`. */
import { writeFile } from "node:fs/promises";
import { NotFoundError } from "@dm/core";
import { compareUtf8, goJsonString } from "@dm/repo";
import { encodePolicy, listPolicies, type Policy, readPolicy } from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { hidden } from "../options.ts";
import { type TargetOptions, targetsOf, targetText, withTargets } from "../policy-targets.ts";
import type { Session } from "../session.ts";
import { indented } from "../text.ts";

interface ExportOptions extends TargetOptions {
  readonly toFile?: string;
  readonly overwrite?: boolean;
  readonly jsonIndent?: boolean;
}

export function policyExportCommand(parent: Command, session: Session): void {
  withTargets(parent.command("export"))
    .description("Write policies as JSON, all of them by default, to standard output or a file")
    .option("--to-file <file>", "write to this file")
    .option("--overwrite", "also when the file exists")
    .addOption(hidden("--json-indent"))
    .action(async (texts: readonly string[], options: ExportOptions) => {
      const { overwrite, toFile } = options;
      if (overwrite && !toFile)
        throw new UsageError("overwrite was passed but no file path was given");
      const policies = await chosen(session, texts, options);
      const members = [...policies]
        .sort(([a], [b]) => compareUtf8(a, b))
        .map(([target, policy]) => `${goJsonString(target)}:${encodePolicy(policy)}`);
      const json = `{${members.join(",")}}`;
      const text = `${options.jsonIndent ? indented(json) : json}\n`;
      if (!toFile) return session.io.out(text);
      try {
        await writeFile(toFile, text, { flag: overwrite ? "w" : "wx", mode: 0o600 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        throw new UsageError(`${toFile} exists; --overwrite replaces it`);
      }
    });
}

async function chosen(
  session: Session,
  texts: readonly string[],
  options: ExportOptions,
): Promise<Map<string, Policy>> {
  const { signal } = session;
  const repository = await session.repository();
  const policies = new Map<string, Policy>();
  if (texts.length === 0 && !options.global) {
    for (const { policy, target } of await listPolicies(repository, { signal }))
      policies.set(targetText(target), policy);
    return policies;
  }
  for (const target of await targetsOf(session, repository, texts, options)) {
    const policy = await readPolicy(repository, target, { signal });
    const text = targetText(target);
    if (!policy) throw new NotFoundError("DM_POLICY_NOT_FOUND", `no policy is defined for ${text}`);
    policies.set(text, policy);
  }
  return policies;
}
