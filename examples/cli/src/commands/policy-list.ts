/** `dm policy list`. */
import { compareUtf8 } from "@dm/repo";
import { encodePolicy, listPolicies } from "@dm/snapshot";
import type { Command } from "commander";
import { targetText } from "../policy-targets.ts";
import type { Session } from "../session.ts";
import { JsonList } from "../text.ts";

export function policyListCommand(parent: Command, session: Session): void {
  parent
    .command("list")
    .alias("ls")
    .description("List policies")
    .option("--json", "output as JSON")
    .action(async (options: { readonly json?: boolean }) => {
      const { io, signal } = session;
      const policies = (await listPolicies(await session.repository(), { signal }))
        .map((stored) => ({ ...stored, text: targetText(stored.target) }))
        .sort((a, b) => compareUtf8(a.text, b.text));
      const json = new JsonList(io);
      for (const { id, policy, target, text } of policies) {
        const { host, path, userName } = target;
        if (options.json)
          await json.add({
            id,
            target: { host, userName, path },
            ...JSON.parse(encodePolicy(policy)),
          });
        else await io.out(`${id} ${text}\n`);
      }
      if (options.json) await json.end();
    });
}
