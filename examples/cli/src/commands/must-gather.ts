/** `dm must-gather`. */
import { open, rm } from "node:fs/promises";
import type { Command } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { type ClusterFlags, clusterFlags, clusterOptions } from "../cluster/cluster-flags.ts";
import type { Session } from "../session.ts";

interface MustGatherFlags extends ClusterFlags {
  readonly output: string;
}

export function mustGatherCommand(parent: Command, session: Session): void {
  const command = parent
    .command("must-gather")
    .description(
      "Collect objects, events, logs and explanations of a cluster into a tar archive, without secrets",
    )
    .option("-o, --output <file>", "where to; - is standard output", "must-gather.tar");
  clusterFlags(command).action(async (flags: MustGatherFlags) => {
    const { mustGather } = await import("../cluster/cluster.ts");
    const options = { ...clusterOptions(session, flags), version: packageJson.version };
    if (flags.output === "-") {
      await mustGather(options, (bytes) => session.io.out(bytes));
      return;
    }
    // What others wrote may be confidential even without secrets: for this user only.
    const file = await open(flags.output, "wx", 0o600);
    try {
      const { files, namespace } = await mustGather(options, async (bytes) => {
        await file.writeFile(bytes);
      });
      session.say(
        `Collected ${files} files of namespace ${namespace} into ${flags.output}: begin with index.md`,
      );
    } catch (error) {
      await rm(flags.output, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  });
}
