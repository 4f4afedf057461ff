/** `dm why`. */
import { isDmError } from "@dm/core";
import type { Command } from "commander";
import { type ClusterFlags, clusterFlags, clusterOptions } from "../cluster/cluster-flags.ts";
import { UsageError } from "../io.ts";
import type { Session } from "../session.ts";
import { indented } from "../text.ts";

export function whyCommand(parent: Command, session: Session): void {
  const command = parent
    .command("why")
    .description("Explain what an object of a cluster waits for, or why it failed, and what to do")
    .argument(
      "<object>",
      "<kind>/<name>, or <kind>/<namespace>/<name>: backup/nightly, du/…, pvc/shop/data",
    )
    .option("--json", "output as JSON");
  clusterFlags(command).action(
    async (subject: string, options: ClusterFlags & { readonly json?: boolean }) => {
      const { why } = await import("../cluster/cluster.ts");
      const told = await why(subject, clusterOptions(session, options)).catch((error: unknown) => {
        if (isDmError(error, "DM_WHY_KIND_UNKNOWN")) throw new UsageError(error.message);
        throw error;
      });
      await session.io.out(options.json ? `${indented(JSON.stringify(told.json))}\n` : told.text);
    },
  );
}
