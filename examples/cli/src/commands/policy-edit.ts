/** `dm policy edit`. */
import {
  decodePolicy,
  emptyPolicy,
  encodePolicy,
  type Policy,
  readPolicy,
  setPolicy,
  unknownPolicyMembers,
} from "@dm/snapshot";
import type { Command } from "commander";
import { editText } from "../editor.ts";
import { type TargetOptions, targetsOf, targetText, withTargets } from "../policy-targets.ts";
import type { Session } from "../session.ts";
import { indented } from "../text.ts";

export function policyEditCommand(parent: Command, session: Session): void {
  withTargets(parent.command("edit"))
    .description("Edit policies as JSON, in the editor that VISUAL or EDITOR names")
    .action(async (texts: readonly string[], options: TargetOptions) => {
      const { io, signal } = session;
      const repository = await session.repository();
      const targets = await targetsOf(session, repository, texts, options);
      await using writer = await repository.openWriteSession({ signal });
      for (const target of targets) {
        const name = targetText(target);
        const before = (await readPolicy(writer, target, { signal })) ?? emptyPolicy;
        session.say(`Editing policy for ${name} using external editor...`);
        const policy = await editPolicy(session, name, before);
        if (encodePolicy(policy) === encodePolicy(before)) {
          session.say(`Policy for ${name} unchanged`);
          continue;
        }
        session.say(`Updated policy for ${name}\n${indented(encodePolicy(policy))}`);
        const answer = await io.ask?.("Save updated policy? (y/N) ");
        if (!/^y/i.test(answer ?? "")) continue;
        await setPolicy(writer, target, policy, { signal });
      }
      await writer.commit({ signal });
    });
}

async function editPolicy(session: Session, name: string, policy: Policy): Promise<Policy> {
  const before = new Set(unknownPolicyMembers(policy));
  const text = await editText(session.io, "policy.conf", pageOf(name, policy), (edited) => {
    const updated = decodePolicy(withoutComments(edited), name);
    // A field that was there may stay; a new one is more likely a mistake.
    const unknown = unknownPolicyMembers(updated).find((member) => !before.has(member));
    if (unknown !== undefined) throw new Error(`unknown field ${unknown}`);
  });
  return decodePolicy(withoutComments(text), name);
}

const withoutComments = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .join("\n");

const hints: Readonly<Record<string, readonly string[]>> = {
  retention: [
    "Snapshots to keep: keepLatest, keepHourly, keepDaily, keepWeekly, keepMonthly, keepAnnual (numbers),",
    "ignoreIdenticalSnapshots (true or false)",
  ],
  files: [
    'What is left out: "ignore": ["*.ext", "/dir/"], "ignoreDotFiles": [".kopiaignore"],',
    "maxFileSize (bytes), ignoreCacheDirs, oneFileSystem, noParentDotFiles, noParentIgnore (true or false)",
  ],
  scheduling: [
    'For kopia: intervalSeconds (number), "timeOfDay": [{"hour": 1, "min": 30}], "cron": ["0 3 * * *"],',
    "runMissed (true or false); or manual (true) alone",
  ],
};

function pageOf(name: string, policy: Policy): string {
  const lines = [`# Policy for ${name}, as JSON. Lines that begin with # do not count.`, ""];
  for (const line of indented(encodePolicy(policy)).split("\n")) {
    const section = /^ {2}"(\w+)":/.exec(line)?.[1];
    for (const hint of (section && hints[section]) || []) lines.push(`  # ${hint}`);
    lines.push(line);
  }
  return `${lines.join("\n")}\n`;
}
