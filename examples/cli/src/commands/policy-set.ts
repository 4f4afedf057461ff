/** `dm policy set`. */
import { emptyPolicy, readPolicy, setPolicy } from "@dm/snapshot";
import type { Command } from "commander";
import { PolicyDraft, type SetOptions } from "../policy-draft.ts";
import { addPolicyFlags } from "../policy-flags.ts";
import { type TargetOptions, targetsOf, targetText, withTargets } from "../policy-targets.ts";
import type { Session } from "../session.ts";

export function policySetCommand(parent: Command, session: Session): void {
  const command = withTargets(parent.command("set")).description("Change fields of a policy");
  addPolicyFlags(command);
  command.action(async (texts: readonly string[], options: TargetOptions & SetOptions) => {
    const { io, signal } = session;
    const repository = await session.repository();
    const targets = await targetsOf(session, repository, texts, options);
    await using writer = await repository.openWriteSession({ signal });
    for (const target of targets) {
      const before = await readPolicy(writer, target, { signal });
      session.say(`Setting policy for ${targetText(target)}`);
      const draft = new PolicyDraft(before ?? emptyPolicy, io.env, (text) => session.say(text));
      await draft.apply(options);
      await setPolicy(writer, target, draft.policy, { signal });
    }
    await writer.commit({ signal });
  });
}
