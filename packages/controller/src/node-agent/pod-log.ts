/**
 * What a failed mover printed goes into the agent's own log: with the hosting pod its log is gone.
 * Proof: test/node-agent/lifecycle.test.ts.
 * @module
 */
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { AgentDeps } from "./agent-deps.ts";
import type { Transfer } from "./transfer.ts";

const tailLines = 200;
const limitBytes = 64 << 10;

/** Best effort and bounded; never throws. */
export async function copyPodLog({
  deps,
  transfer,
  options,
}: {
  readonly deps: AgentDeps;
  readonly transfer: Transfer;
  readonly options: KubeCallOptions;
}): Promise<void> {
  const { kind, namespace, name } = transfer;
  try {
    const text = await deps.podLog?.(
      { namespace, name },
      { tailLines, limitBytes, signal: options.signal },
    );
    if (text === undefined || text === "") return;
    const lines = text.slice(-limitBytes).trimEnd().split("\n").slice(-tailLines);
    deps.logger.info("the log of a failed mover", { kind, namespace, name, lines });
  } catch (error) {
    deps.logger.debug("cannot read the log of a hosting pod", { name, error: String(error) });
  }
}
