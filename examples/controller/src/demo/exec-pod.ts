/**
 * Runs a command in a pod and gives it a stream, as `kubectl exec -i` does.
 * Proof: test/existing-cluster.test.ts.
 * @module
 */

import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

export interface ExecTarget {
  readonly kubeconfig: string;
  readonly context?: string | undefined;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
}

/** Bytes that wait in the socket before the next piece is read. */
const maxBuffered = 4 << 20;
const standardInput = 0;

/** @returns what the command printed. @throws {Error} when it fails, with what it said */
export async function execWithInput(
  target: ExecTarget,
  input: AsyncIterable<Buffer>,
): Promise<string> {
  // Takes most of a second to load, and only some runs need it.
  const { Exec, KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  config.loadFromFile(target.kubeconfig);
  if (target.context) config.setCurrentContext(target.context);
  const output = new PassThrough();
  const errors = new PassThrough();
  const [said, complained] = [text(output), text(errors)];
  const { promise, reject, resolve } = Promise.withResolvers<void>();
  const { command, container, namespace, pod } = target;
  const socket = await new Exec(config).exec(
    namespace,
    pod,
    container,
    [...command],
    output,
    errors,
    // Says that there is input, which goes by the socket itself, so that it never holds more than it can send.
    new PassThrough(),
    false,
    ({ message, status }) => {
      if (status === "Success") resolve();
      else reject(new Error(message ?? "the command failed"));
    },
  );
  const onAbort = (): void => reject(target.signal.reason);
  target.signal.addEventListener("abort", onAbort, { once: true });
  socket.onclose = () => reject(new Error("the connection to the pod ended"));
  try {
    const sending = (async () => {
      for await (const piece of input) {
        while (socket.bufferedAmount > maxBuffered) await sleep(5);
        target.signal.throwIfAborted();
        socket.send(Buffer.concat([Buffer.of(standardInput), piece]));
      }
    })();
    sending.catch(reject);
    await promise;
  } catch (error) {
    output.end();
    errors.end();
    throw new Error(`${command.join(" ")}: ${(error as Error).message} ${await complained}`, {
      cause: error,
    });
  } finally {
    target.signal.removeEventListener("abort", onAbort);
    socket.close();
    output.end();
    errors.end();
  }
  return said;
}
