/**
 * A node agent as a process of its own, so that what it weighs is its own: `node --conditions=@dm/source agent-child.ts <kubeconfig>
 * <namespace> <node> <concurrency>`. Answers every message of its parent with an {@link AgentWeight}; ends when its parent goes.
 * @module
 */
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import { addNodeAgent } from "../../src/node-agent/node-agent.ts";
import { parseNodeAgentConfig } from "../../src/node-agent/node-agent-config.ts";
import { createEventRecorder, createManager, nodeKubeClient } from "../../src/runtime/index.ts";

export interface AgentWeight {
  readonly isReady: boolean;
  /** Since the process began. */
  readonly peakRssBytes: number;
  readonly heapUsedBytes: number;
  readonly cpuMs: number;
}

const [kubeconfig = "", namespace = "", node = "", concurrency = "1"] = process.argv.slice(2);
const stop = new AbortController();
const client = nodeKubeClient({ kubeconfig, userAgent: "dm-node-agent" });
const manager = createManager({ client, endpoints: { host: "127.0.0.1", port: 0 } });
const loadConcurrency = { globalConfig: Number(concurrency) };

// The settings are those of an agent that nobody configured, but for the concurrency.
addNodeAgent(manager, {
  client,
  recorder: createEventRecorder(client, { component: "dm-node-agent", host: node }),
  namespace,
  node,
  agentSelector: "role=node-agent",
  template: hostingTemplateOf({
    metadata: { name: "node-agent" },
    spec: {
      selector: {},
      template: { spec: { containers: [{ name: "node-agent", image: "dm:1" }] } },
    },
  } as never),
  config: parseNodeAgentConfig({
    metadata: { name: "node-agent-config" },
    data: { "config.json": JSON.stringify({ loadConcurrency }) },
  } satisfies Parameters<typeof parseNodeAgentConfig>[0]),
});

process.on("message", async () => {
  const answer = await fetch(`${manager.endpointsUrl}/readyz`).catch(() => undefined);
  const { user, system } = process.cpuUsage();
  process.send?.({
    isReady: answer?.ok ?? false,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    heapUsedBytes: process.memoryUsage().heapUsed,
    cpuMs: (user + system) / 1_000,
  } satisfies AgentWeight);
});
process.once("disconnect", () => stop.abort());
await manager.run(stop.signal);
client.close();
