/**
 * The ServerStatusRequest controller: says once which server this is; a minute later the request goes.
 * Proof: test/requests/server-status-request.test.ts.
 * @module
 */
import { nsPerMs } from "@dm/core";
import { serverStatusRequests } from "@dm/crds";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import type { RequestDeps } from "./request-deps.ts";

export const statusLifetimeMs = 60_000;

export async function reconcileServerStatusRequest(
  { client, clock, plugins, serverVersion }: RequestDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const request = await client.get(serverStatusRequests, key, options);
  if (request === undefined || request.metadata.deletionTimestamp) return {};
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const { phase, processedTimestamp } = request.status ?? {};
  if (phase !== "Processed") {
    const status = {
      phase: "Processed",
      processedTimestamp: kubeTime(new Date(nowMs)),
      serverVersion,
      plugins: plugins.map(({ kind, name }) => ({ name, kind })),
    };
    await client.patch(serverStatusRequests, key, { status }, options);
    return { requeueAfterMs: statusLifetimeMs };
  }
  const leftMs = (Date.parse(processedTimestamp ?? "") || 0) + statusLifetimeMs - nowMs;
  if (leftMs > 0) return { requeueAfterMs: Math.min(leftMs, statusLifetimeMs) };
  await client.delete(serverStatusRequests, key, { ...options, uid: request.metadata.uid });
  return {};
}
