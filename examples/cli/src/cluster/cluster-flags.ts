/**
 * The flags of commands that ask a cluster.
 * @module
 */
import type { Command } from "commander";
import type { Session } from "../session.ts";
import type { ClusterOptions } from "./cluster.ts";

export interface ClusterFlags {
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
}

export function clusterFlags(command: Command): Command {
  return command
    .option(
      "-n, --namespace <name>",
      "of the operator; that of the kubeconfig, or where one is usually",
    )
    .option("--kubeconfig <file>", "instead of KUBECONFIG, ~/.kube/config or the pod's account")
    .option("--context <name>", "of the kubeconfig");
}

export function clusterOptions(session: Session, flags: ClusterFlags): ClusterOptions {
  const { context, kubeconfig, namespace } = flags;
  const { clock, signal } = session;
  return { context, kubeconfig, namespace, clock, signal };
}
