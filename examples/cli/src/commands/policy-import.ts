/** `dm policy import`. */
import { readFile } from "node:fs/promises";
import { rawMembers } from "@dm/repo";
import {
  decodePolicy,
  deletePolicy,
  listPolicies,
  type Policy,
  type PolicyTarget,
  setPolicy,
  unknownPolicyMembers,
} from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import {
  parseTarget,
  type TargetOptions,
  targetsOf,
  targetText,
  withTargets,
} from "../policy-targets.ts";
import type { Session } from "../session.ts";

interface ImportOptions extends TargetOptions {
  readonly fromFile?: string;
  readonly allowUnknownFields?: boolean;
  readonly deleteOtherPolicies?: boolean;
}

export function policyImportCommand(parent: Command, session: Session): void {
  withTargets(parent.command("import"))
    .description("Set the policies of an export, all of them by default")
    .option("--from-file <file>", "read this file, not standard input")
    .option("--allow-unknown-fields", "also with fields that are unknown here; they are kept")
    .option("--delete-other-policies", "remove all policies that are not imported")
    .action(async (texts: readonly string[], options: ImportOptions) => {
      const { signal } = session;
      const text = options.fromFile
        ? await readFile(options.fromFile, "utf8")
        : await session.io.readStdin();
      const policies = await parsed(session, text, options);
      const repository = await session.repository();
      if (texts.length > 0 || options.global) {
        const wanted = await targetsOf(session, repository, texts, options);
        const names = new Set(wanted.map(targetText));
        for (const name of policies.keys()) if (!names.has(name)) policies.delete(name);
      }
      await using writer = await repository.openWriteSession({ signal });
      for (const { policy, target } of policies.values())
        await setPolicy(writer, target, policy, { signal });
      if (options.deleteOtherPolicies) {
        for (const { target } of await listPolicies(writer, { signal }))
          if (!policies.has(targetText(target))) await deletePolicy(writer, target, { signal });
      }
      await writer.commit({ signal });
    });
}

interface Imported {
  readonly target: PolicyTarget;
  readonly policy: Policy;
}

async function parsed(
  session: Session,
  text: string,
  { allowUnknownFields }: ImportOptions,
): Promise<Map<string, Imported>> {
  const policies = new Map<string, Imported>();
  for (const [name, json] of membersOf(text)) {
    const target = await parseTarget(session, name);
    const policy = decodePolicy(json, name);
    const [unknown] = unknownPolicyMembers(policy);
    if (unknown !== undefined && !allowUnknownFields)
      throw new UsageError(`unknown field ${unknown} in the policy of ${name}`);
    policies.set(targetText(target), { target, policy });
  }
  return policies;
}

function membersOf(text: string): readonly (readonly [string, string])[] {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new SyntaxError("not an object");
  } catch (error) {
    throw new UsageError(`policies cannot be read: ${(error as Error).message}`);
  }
  return rawMembers(text);
}
