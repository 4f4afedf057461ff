/**
 * The operator: makes server and node agents, and what they need, as a DataProtectionApplication in its namespace wants them.
 * Proof: test/data-protection-application.test.ts.
 * @module
 */
import { addApplicationController } from "@dm/controller";
import { createManager, nodeKubeClient, stopSignal } from "@dm/controller/runtime";
import { deployments } from "@dm/crds";
import type { RoleFlags } from "./common-flags.ts";
import { endpointsOf, fromEnvironment, loggerOf } from "./process.ts";

export interface OperatorFlags extends RoleFlags {
  readonly deployment: string;
  /** Of server and node agents; that of the operator by default. */
  readonly image?: string | undefined;
}

export async function runOperator(flags: OperatorFlags): Promise<void> {
  const logger = loggerOf(flags);
  const namespace = flags.namespace ?? fromEnvironment("POD_NAMESPACE");
  const client = nodeKubeClient({ userAgent: "dm-operator" });
  const signal = stopSignal();
  try {
    const image = flags.image ?? (await ownImage());
    const manager = createManager({
      client,
      logger,
      endpoints: endpointsOf(flags),
      leader: { namespace, name: "dm-operator", identity: fromEnvironment("POD_NAME") },
    });
    addApplicationController(manager, { client, namespace, logger, settings: { image } });
    await manager.run(signal);
  } finally {
    client.close();
  }

  async function ownImage(): Promise<string> {
    const own = await client.get(deployments, { namespace, name: flags.deployment }, { signal });
    const image = own?.spec.template.spec.containers[0]?.image;
    if (!image) throw new Error(`there is no Deployment ${namespace}/${flags.deployment}`);
    return image;
  }
}
