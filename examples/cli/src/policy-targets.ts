/** What the commands of `policy` act on: `--global`, or targets as kopia takes them. */
import { isDmError } from "@dm/core";
import type { Repository } from "@dm/repo";
import { globalPolicyTarget, openPolicy, type PolicyTarget } from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "./io.ts";
import type { Session } from "./session.ts";
import { parseSource, sourceText } from "./snapshot-text.ts";

export interface TargetOptions {
  readonly global?: boolean;
}

/** Arguments and the flag that all of them have. */
export function withTargets(command: Command): Command {
  return command
    .argument(
      "[target...]",
      "@host, user@host, user@host:path, a path of this machine, or the id of a policy",
    )
    .option("--global", "the policy that all others inherit");
}

/** As kopia prints it. */
export const targetText = (target: PolicyTarget): string =>
  target.host === "" && target.userName === "" && target.path === ""
    ? "(global)"
    : sourceText({ source: target });

/** @throws {UsageError} unless either `--global` or some targets are given */
export async function targetsOf(
  session: Session,
  repository: Repository,
  texts: readonly string[],
  { global }: TargetOptions,
): Promise<PolicyTarget[]> {
  if (Boolean(global) === texts.length > 0)
    throw new UsageError("must pass either '--global' or a list of path targets");
  if (global) return [globalPolicyTarget];
  const targets: PolicyTarget[] = [];
  for (const text of texts) {
    const byId = await targetById(session, repository, text);
    targets.push(byId ?? (await parseTarget(session, text)));
  }
  return targets;
}

/** What {@link targetText} prints, read again. */
export async function parseTarget(session: Session, text: string): Promise<PolicyTarget> {
  return text === "(global)" ? globalPolicyTarget : parseSource(session, text);
}

async function targetById(
  session: Session,
  repository: Repository,
  id: string,
): Promise<PolicyTarget | undefined> {
  try {
    return (await openPolicy(repository, id, { signal: session.signal })).target;
  } catch (error) {
    if (isDmError(error, "DM_POLICY_NOT_FOUND")) return undefined;
    throw error;
  }
}
