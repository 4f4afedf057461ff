/**
 * The server: one for the cluster, with the controllers of `server-controllers.ts`.
 * @module
 */
import { createManager, nodeKubeClient, stopSignal } from "@dm/controller/runtime";
import { endpointsOf, fromEnvironment, loggerOf, type RoleFlags } from "./process.ts";
import { addServerControllers } from "./server-controllers.ts";
import type { ServerOptions } from "./server-flags.ts";

export async function runServer(flags: RoleFlags, options: ServerOptions): Promise<void> {
  const logger = loggerOf(flags);
  const namespace = flags.namespace ?? fromEnvironment("POD_NAMESPACE");
  const client = nodeKubeClient({ userAgent: "dm-server" });
  const manager = createManager({
    client,
    logger,
    endpoints: endpointsOf(flags),
    leader: { namespace, name: "dm-server", identity: fromEnvironment("POD_NAME") },
  });
  const context = { client, namespace, logger, environment: process.env };
  addServerControllers(manager, context, options);
  try {
    await manager.run(stopSignal());
  } finally {
    client.close();
  }
}
