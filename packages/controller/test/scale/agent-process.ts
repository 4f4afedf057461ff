/** Starts and weighs node agents that are processes. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { AgentWeight } from "./agent-child.ts";

const program = join(import.meta.dirname, "agent-child.ts");

export interface AgentProcess {
  weigh(): Promise<AgentWeight>;
  stop(): Promise<void>;
}

export function startAgent(...args: readonly string[]): AgentProcess {
  const child: ChildProcess = fork(program, args, { execArgv: ["--conditions=@dm/source"] });
  const ended = once(child, "exit").then(([code, signal]) => {
    if (code !== 0) throw new Error(`a node agent ended with ${code ?? signal}`);
  });
  // It is told by the next call.
  ended.catch(() => {});
  return {
    async weigh() {
      const answer = once(child, "message");
      child.send("weigh");
      const [weight] = await Promise.race([answer, ended.then(() => [undefined])]);
      if (weight === undefined) throw new Error("a node agent is not there any more");
      return weight as AgentWeight;
    },
    async stop() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
