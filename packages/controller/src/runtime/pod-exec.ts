/**
 * Runs a command in a container of a pod, as hooks of backups and restores do: over a WebSocket whose messages begin with the number
 * of their channel (`v5.channel.k8s.io`, `v4.channel.k8s.io`). Nothing is sent to the command.
 * Proof: test/runtime/pod-exec.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { type Clock, StorageError } from "@dm/core";
import { parseStatus, readBody, withTimeLimit } from "./http-answer.ts";
import type { KubeCallOptions, ObjectKey } from "./kube-client.ts";
import type { KubeConnection } from "./kube-connection.ts";
import { type KubeStatus, kubeError, unavailable } from "./kube-errors.ts";
import { clientFrame, frameReader } from "./web-socket-frames.ts";

export interface PodExecOptions extends KubeCallOptions {
  readonly container: string;
  readonly command: readonly string[];
  /** Then the call rejects with `DM_EXEC_TIMEOUT`. */
  readonly timeoutMs: number;
}

export interface PodExecEnd {
  readonly exitCode: number;
  /** The first 64 KiB of each. */
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * @throws {StorageError} `DM_EXEC_TIMEOUT` when the command has not ended by then, `DM_EXEC_FAILED` when it could not be started;
 * what the API refuses, as every other call
 */
export type PodExec = (pod: ObjectKey, options: PodExecOptions) => Promise<PodExecEnd>;

const maxOutputBytes = 64 << 10;
const maxStatusBytes = 1 << 20;
const maxFrameBytes = 4 << 20;
const protocols = "v5.channel.k8s.io, v4.channel.k8s.io";
const channel = { stdout: 1, stderr: 2, status: 3 } as const;

/** @example const { exitCode } = await exec({ namespace, name }, { container, command: ["sync"], timeoutMs: 30_000 }); */
export function podExec(
  connection: KubeConnection,
  { clock, userAgent }: { readonly clock: Clock; readonly userAgent: string },
): PodExec {
  return async ({ name, namespace = "" }, { command, container, signal, timeoutMs }) => {
    const what = `exec in pods ${namespace}/${name}`;
    const query = new URLSearchParams({ container, stdout: "true", stderr: "true" });
    for (const part of command) query.append("command", part);
    const pod = `${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    const path = `/api/v1/namespaces/${pod}/exec?${query}`;
    let isOver = false;
    const run = async (limited: AbortSignal): Promise<PodExecEnd> => {
      limited.addEventListener("abort", () => {
        isOver = true;
      });
      return listen(what, await opened(connection, what, path, userAgent, limited), limited);
    };
    try {
      return await withTimeLimit(what, timeoutMs, clock, signal, run);
    } catch (error) {
      if (!isOver || signal?.aborted) throw error;
      throw new StorageError("DM_EXEC_TIMEOUT", `${what}: not ended within ${timeoutMs} ms`);
    }
  };
}

interface Upgraded {
  readonly socket: Duplex;
  /** What has come behind the answer. */
  readonly head: Uint8Array;
}

async function opened(
  connection: KubeConnection,
  what: string,
  path: string,
  userAgent: string,
  signal: AbortSignal,
): Promise<Upgraded> {
  for (let attempt = 1; ; attempt++) {
    const { agent, base, generation, headers } = await connection.prepare();
    signal.throwIfAborted();
    const url = new URL(base.pathname.replace(/\/+$/, "") + path, base);
    const answer = await new Promise<Upgraded | IncomingMessage>((resolve, reject) => {
      const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
        agent,
        signal,
        headers: {
          "user-agent": userAgent,
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": randomBytes(16).toString("base64"),
          "sec-websocket-protocol": protocols,
          ...headers,
        },
      });
      request.on("upgrade", (_answer, socket, head) => resolve({ socket, head }));
      request.on("response", resolve);
      request.on("error", reject);
      request.end();
    });
    if ("socket" in answer && "head" in answer) return answer as Upgraded;
    const response = answer as IncomingMessage;
    const text = await readBody(response, maxStatusBytes);
    const httpStatus = response.statusCode ?? 0;
    if (httpStatus !== 401 || attempt > 1)
      throw kubeError({ what, status: parseStatus(text), httpStatus });
    connection.reload(generation);
  }
}

async function listen(
  what: string,
  { head, socket }: Upgraded,
  signal: AbortSignal,
): Promise<PodExecEnd> {
  const outputs = {
    1: bounded(maxOutputBytes),
    2: bounded(maxOutputBytes),
    3: bounded(maxStatusBytes),
  };
  const reader = frameReader(maxFrameBytes);
  const onAbort = (): void => {
    socket.destroy();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    if (head.length > 0) socket.unshift(head);
    chunks: for await (const chunk of socket as AsyncIterable<Uint8Array>)
      for (const { bytes, type } of reader.push(chunk)) {
        if (type === "close") break chunks;
        if (type === "ping") socket.write(clientFrame("pong", bytes, randomBytes(4)));
        else outputs[bytes[0] as keyof typeof outputs]?.add(bytes.subarray(1));
      }
    signal.throwIfAborted();
    const exitCode = exitCodeOf(what, outputs[channel.status].text());
    return {
      exitCode,
      stdout: outputs[channel.stdout].text(),
      stderr: outputs[channel.stderr].text(),
    };
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.on("error", () => undefined);
    if (socket.writable) socket.write(clientFrame("close", new Uint8Array(), randomBytes(4)));
    socket.destroy();
  }
}

function exitCodeOf(what: string, text: string): number {
  if (text === "") throw unavailable(`${what}: the connection ended before the command`);
  const status = parseStatus(text) as KubeStatus & { readonly status?: string };
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === "ExitCode");
  const exitCode = Number(cause?.message);
  if (cause !== undefined && Number.isInteger(exitCode)) return exitCode;
  throw new StorageError("DM_EXEC_FAILED", `${what}: ${status.message ?? "it was not run"}`);
}

/** The first bytes of an output; the rest is let go. */
function bounded(maxBytes: number): { add(bytes: Uint8Array): void; text(): string } {
  const parts: Uint8Array[] = [];
  let length = 0;
  return {
    add(bytes) {
      const kept = bytes.slice(0, maxBytes - length);
      length += kept.length;
      if (kept.length > 0) parts.push(kept);
    },
    text: () => Buffer.concat(parts).toString("utf8"),
  };
}
