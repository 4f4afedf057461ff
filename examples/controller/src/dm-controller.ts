/**
 * The reference controller: one program, a role for every process of the data mover. A role loads only what it needs.
 *
 * `server`, `node-agent`, `mover backup|restore …`, `maintenance …`, `restore-wait UID`
 * @module
 */
import type { LogLevel } from "@dm/controller/runtime";
import { Command } from "commander";
import {
  addServerFlags,
  addUnusedFlags,
  durationMs,
  logLevelOf,
  type ServerOptions,
} from "./roles/server-flags.ts";

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
    .option(
      "--log-level <level>",
      "least level that is logged: debug, info, warn or error",
      logLevelOf,
      "info",
    )
    .option("--metrics-port <port>", "of probes and metrics; 0 for any that is free", "8085");
}

const common = ({ logLevel, metricsPort, namespace }: Flags) => ({
  namespace,
  logLevel,
  metricsPort: portOf(metricsPort),
});

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) program.error(`${text} is no port`, { exitCode: 2 });
  return port;
}

addServerFlags(
  role("server", "controllers of which the cluster needs one: repositories, Backups, Restores"),
).action(async (flags: Flags & ServerOptions) => {
  const { runServer } = await import("./roles/server.ts");
  await runServer(common(flags), flags);
});

addUnusedFlags(
  role("node-agent", "controllers of which every node needs one: DataUploads and DataDownloads"),
  ["--resource-timeout <duration>"],
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
    "--host-pods-root <path>",
    "the kubelet's pods; turns backup of volumes by their files on",
  )
  .option("--take-over-velero", "move also what is meant for Velero's own data mover", false)
  .action(
    async (
      flags: Flags & {
        nodeName?: string;
        daemonset: string;
        nodeAgentConfigmap?: string;
        moverServiceAccount: string;
        dataMoverPrepareTimeout?: number;
        hostPodsRoot?: string;
        takeOverVelero: boolean;
      },
    ) => {
      const { runNodeAgent } = await import("./roles/node-agent.ts");
      const { daemonset, moverServiceAccount, nodeName, takeOverVelero } = flags;
      await runNodeAgent({
        ...common(flags),
        node: nodeName,
        daemonSet: daemonset,
        configMap: flags.nodeAgentConfigmap,
        moverServiceAccount,
        hostPodsRoot: flags.hostPodsRoot,
        prepareTimeoutMs: flags.dataMoverPrepareTimeout,
        takeOverVelero,
      });
    },
  );

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
