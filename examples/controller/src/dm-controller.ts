/**
 * The reference controller: one program, a role for every process of the data mover. A role loads only what it needs.
 *
 * `server`, `node-agent`, `operator`, `mover backup|restore …`, `maintenance …`, `restore-wait UID`
 * @module
 */
import { Command } from "commander";
import { addCommonFlags, addUnusedFlags, commonFlags } from "./roles/common-flags.ts";
import {
  addServerFlags,
  durationMs,
  durationText,
  type ServerOptions,
} from "./roles/server-flags.ts";

const program = new Command("dm-controller")
  .description("The data mover on a cluster.")
  // A command line that is none, whoever notices it.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));

const role = (name: string, description: string): Command =>
  addCommonFlags(program.command(name).description(description));

addServerFlags(
  role("server", "controllers of which the cluster needs one: repositories, Backups, Restores"),
).action(async (flags: ServerOptions, command: Command) => {
  const { runServer } = await import("./roles/server.ts");
  await runServer(commonFlags(command), flags);
});

addUnusedFlags(
  role("node-agent", "controllers of which every node needs one: DataUploads and DataDownloads"),
)
  .option("--node-name <name>", "the node; NODE_NAME by default")
  .option("--daemonset <name>", "what this runs in; movers are made after it", "dm-node-agent")
  .option("--node-agent-configmap <name>", "concurrency, affinity, resources, classes of claims")
  .option("--mover-service-account <name>", "as whom movers speak", "dm-mover")
  .option(
    "--data-mover-prepare-timeout <duration>",
    "until a volume is exposed; 30m by default",
    durationMs,
  )
  .option(
    "--resource-timeout <duration>",
    "for a mover to find its repository; 10m by default",
    durationText,
  )
  .option(
    "--host-pods-root <path>",
    "the kubelet's pods; turns backup of volumes by their files on",
  )
  .option("--take-over-velero", "move also what is meant for Velero's own data mover", false)
  .action(
    async (
      flags: {
        nodeName?: string;
        daemonset: string;
        nodeAgentConfigmap?: string;
        moverServiceAccount: string;
        dataMoverPrepareTimeout?: number;
        resourceTimeout?: string;
        hostPodsRoot?: string;
        takeOverVelero: boolean;
      },
      command: Command,
    ) => {
      const { runNodeAgent } = await import("./roles/node-agent.ts");
      const { daemonset, moverServiceAccount, nodeName, takeOverVelero } = flags;
      await runNodeAgent({
        ...commonFlags(command),
        node: nodeName,
        daemonSet: daemonset,
        configMap: flags.nodeAgentConfigmap,
        moverServiceAccount,
        hostPodsRoot: flags.hostPodsRoot,
        prepareTimeoutMs: flags.dataMoverPrepareTimeout,
        resourceTimeout: flags.resourceTimeout,
        takeOverVelero,
      });
    },
  );

role("operator", "makes server and node agents, as a DataProtectionApplication wants them")
  .option(
    "--deployment <name>",
    "what this runs in; its image is that of the others",
    "dm-operator",
  )
  .option("--image <name>", "of server and node agents, when it is another one")
  .action(async (flags: { deployment: string; image?: string }, command: Command) => {
    const { runOperator } = await import("./roles/operator.ts");
    await runOperator({ ...commonFlags(command), ...flags });
  });

/** Roles whose command lines are made by controllers, and read by those who know them. */
for (const [name, description] of [
  ["mover", "moves one volume, in the pod that a node agent makes"],
  ["maintenance", "maintains one repository, in the Job that the server makes"],
] as const)
  program
    .command(name)
    .description(description)
    .allowUnknownOption()
    .argument("[args...]")
    .helpOption(false)
    .action(async () => {
      const args = process.argv.slice(3);
      const { runMaintenanceRole, runMoverRole } = await import("./roles/mover.ts");
      process.exitCode = await (name === "mover" ? runMoverRole(args) : runMaintenanceRole(args));
    });

program
  .command("restore-wait")
  .description("waits for the files of a restored pod, in its first container")
  .argument("<uid>", "of the Restore")
  .action(async (restoreUid: string) => {
    const { waitForRestore } = await import("./roles/restore-wait.ts");
    const stop = new AbortController();
    process.once("SIGTERM", () => stop.abort());
    const paths = (process.env["RESTORE_PATHS"] ?? "").split(":").filter(Boolean);
    if (paths.length === 0) throw new Error("the environment has no RESTORE_PATHS");
    await waitForRestore({ paths, restoreUid, signal: stop.signal, tell: console.log });
  });

try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
