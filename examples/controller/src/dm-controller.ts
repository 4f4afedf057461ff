/**
 * The reference controller: one program, a role for every process of the data mover. A role loads only what it needs.
 *
 * `server`, `node-agent`, `mover backup|restore …`
 * @module
 */
import type { LogLevel } from "@dm/controller/runtime";
import { Command, Option } from "commander";

interface Flags {
  namespace?: string;
  logLevel: LogLevel;
  metricsPort: string;
}

const program = new Command("dm-controller").description("The data mover on a cluster.");

function role(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option("--namespace <name>", "of the data mover; that of the pod by default")
    .addOption(
      new Option("--log-level <level>", "least level that is logged")
        .choices(["debug", "info", "warn", "error"])
        .default("info"),
    )
    .option("--metrics-port <port>", "of probes and metrics; 0 for any that is free", "8085");
}

const common = ({ logLevel, metricsPort, namespace }: Flags) => ({
  namespace,
  logLevel,
  metricsPort: Number(metricsPort),
});

role("server", "controllers of which the cluster needs one: repositories")
  .option(
    "--backup-repository-configmap <name>",
    "settings of new repositories, under the key kopia",
  )
  .action(async (flags: Flags & { backupRepositoryConfigmap?: string }) => {
    const { runServer } = await import("./roles/server.ts");
    const { backupRepositoryConfigmap } = flags;
    await runServer({ ...common(flags), backupRepositoryConfigmap });
  });

role("node-agent", "controllers of which every node needs one: DataUploads and DataDownloads")
  .option("--node-name <name>", "the node; NODE_NAME by default")
  .option("--daemonset <name>", "what this runs in; movers are made after it", "dm-node-agent")
  .option("--mover-service-account <name>", "as whom movers speak", "dm-mover")
  .option("--take-over-velero", "move also what is meant for Velero's own data mover", false)
  .action(
    async (
      flags: Flags & {
        nodeName?: string;
        daemonset: string;
        moverServiceAccount: string;
        takeOverVelero: boolean;
      },
    ) => {
      const { runNodeAgent } = await import("./roles/node-agent.ts");
      const { daemonset, moverServiceAccount, nodeName, takeOverVelero } = flags;
      await runNodeAgent({
        ...common(flags),
        node: nodeName,
        daemonSet: daemonset,
        moverServiceAccount,
        takeOverVelero,
      });
    },
  );

program
  .command("mover", { hidden: true })
  .description("moves one volume, in the pod that a node agent makes")
  .allowUnknownOption()
  .argument("[args...]")
  .helpOption(false)
  .action(async () => {
    const { runMoverRole } = await import("./roles/mover.ts");
    process.exitCode = await runMoverRole(process.argv.slice(3));
  });

try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
