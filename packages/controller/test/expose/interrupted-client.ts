// A client whose process dies at a chosen call, before the server has heard of it or after it has answered, and one whose server
// fails now and then.
import { StorageError } from "@dm/core";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

export class Killed extends Error {}

export interface Interruption {
  /** Number of the call, from 0. */
  readonly at: number;
  readonly when: "before" | "after";
}

/** `calls` counts what was asked; `then` runs after every call that the server answered. */
export function interruptedClient(
  client: KubeClient,
  interruption: Interruption | undefined,
  then: () => void = () => {},
): { readonly client: KubeClient; readonly calls: () => number } {
  let count = 0;
  let dead = false;
  const wrapped = intercepted(client, async (call) => {
    if (dead) throw new Killed();
    const number = count++;
    const isIt = number === interruption?.at;
    if (isIt && interruption.when === "before") {
      dead = true;
      throw new Killed();
    }
    try {
      return await call();
    } finally {
      then();
      if (isIt) {
        dead = true;
        // biome-ignore lint/correctness/noUnsafeFinally: the answer does not arrive, whatever it was
        throw new Killed();
      }
    }
  });
  return { client: wrapped, calls: () => count };
}

/** Some calls are refused for the moment, some done and not answered. */
export function flakyClient(
  client: KubeClient,
  isRefused: () => boolean,
  then: () => void,
): KubeClient {
  const refuse = () =>
    new StorageError("DM_KUBE_UNAVAILABLE", "try again", {}, { retryable: true });
  return intercepted(client, async (call) => {
    if (isRefused()) throw refuse();
    const answer = await call();
    then();
    if (isRefused()) throw refuse();
    return answer;
  });
}

/** Each call takes some turns of the event loop to reach the server, so that those of others come in between. */
export function delayedClient(
  client: KubeClient,
  turns: () => number,
  then: () => void,
): KubeClient {
  return intercepted(client, async (call) => {
    for (let left = turns(); left > 0; left -= 1) await new Promise(setImmediate);
    const answer = await call();
    then();
    return answer;
  });
}

function intercepted(
  client: KubeClient,
  around: (call: () => Promise<unknown>) => Promise<unknown>,
): KubeClient {
  return new Proxy(client, {
    get: (target, name) => {
      const method = target[name as keyof KubeClient] as (...args: unknown[]) => Promise<unknown>;
      return (...args: unknown[]) => around(() => method.apply(target, args));
    },
  });
}
