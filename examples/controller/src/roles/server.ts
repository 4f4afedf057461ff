/**
 * The server: one for the cluster, with the controllers of `server-controllers.ts`.
 * @module
 */
import { createManager, nodeKubeClient, stopSignal } from "@dm/controller/runtime";
import { deployments } from "@dm/crds";
import type { RoleFlags } from "./common-flags.ts";
import { endpointsOf, fromEnvironment, loggerOf } from "./process.ts";
import { addServerControllers } from "./server-controllers.ts";
import type { ServerOptions } from "./server-flags.ts";

export async function runServer(flags: RoleFlags, options: ServerOptions): Promise<void> {
  const logger = loggerOf(flags);
  const namespace = flags.namespace ?? fromEnvironment("POD_NAMESPACE");
  const client = nodeKubeClient({ userAgent: "dm-server" });
  const signal = stopSignal();
  try {
    const own = await client.get(deployments, { namespace, name: options.deployment }, { signal });
    const image = own?.spec.template.spec.containers[0]?.image;
    if (!image) throw new Error(`there is no Deployment ${namespace}/${options.deployment}`);
    const manager = createManager({
      client,
      logger,
      endpoints: endpointsOf(flags),
      leader: { namespace, name: "dm-server", identity: fromEnvironment("POD_NAME") },
    });
    const context = { client, namespace, logger, image, environment: process.env };
    addServerControllers(manager, context, options);
    await manager.run(signal);
  } finally {
    client.close();
  }
}
