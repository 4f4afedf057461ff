/**
 * Commands in containers: the request, the two ways in which its streams travel, and the status at the end.
 * Proof: test/api-server/pod-streams.test.ts, test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import type { IncomingMessage } from "node:http";
import type { Duplex, Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { StoredObject } from "../kube-object.ts";
import { ApiError, badRequest } from "./api-error.ts";
import type { ExecOptions, ExecResult, PodStreams } from "./pod-streams.ts";
import { podTarget } from "./pod-subresources.ts";
import { openSpdyChannels } from "./spdy-channels.ts";
import { openWebSocketChannels } from "./web-socket-channels.ts";

export interface ExecCall {
  readonly pod: StoredObject;
  readonly podStreams: PodStreams;
  readonly query: URLSearchParams;
  readonly incoming: IncomingMessage;
  readonly socket: Duplex;
  /** What has come behind the request. */
  readonly head: Buffer;
  readonly signal: AbortSignal;
}

export interface WantedChannels {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** The streams of a command over one connection. */
export interface ExecChannels {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
  /** Sends the status, which is the last that is said. */
  finish(status: Record<string, unknown>): Promise<void>;
}

/**
 * Runs the command and resolves when the connection is at its end.
 * @throws {ApiError} before the connection has been taken over
 */
export async function serveExec(call: ExecCall): Promise<void> {
  const { query } = call;
  const command = query.getAll("command");
  if (command.length === 0) throw badRequest("you must specify at least 1 command to exec");
  const target = podTarget(call.pod, query.get("container"));
  const asks = (name: string): boolean => ["1", "true"].includes(query.get(name) ?? "");
  const tty = asks("tty");
  const wanted: WantedChannels = {
    stdin: asks("stdin"),
    stdout: asks("stdout"),
    stderr: asks("stderr") && !tty,
    tty,
  };
  if (!wanted.stdin && !wanted.stdout && !wanted.stderr) {
    throw badRequest("you must specify at least 1 of stdin, stdout, stderr");
  }
  const channels = await openChannels(call, wanted);
  const { stdin, stdout, stderr, gone } = channels;
  const signal = AbortSignal.any([gone, call.signal]);
  const options: ExecOptions = { command, tty, stdin, stdout, stderr, signal };
  const status = await run(call.podStreams.exec(target, options));
  await Promise.all([stdout, stderr].map((output) => flushed(output, gone)));
  await channels.finish(status);
}

/** The status must not overtake what the command said. */
async function flushed(output: Writable | undefined, gone: AbortSignal): Promise<void> {
  if (output === undefined) return;
  if (!output.writableEnded) output.end();
  await finished(output, { signal: gone }).catch(() => {});
}

function openChannels(call: ExecCall, wanted: WantedChannels): Promise<ExecChannels> {
  const upgrade = (call.incoming.headers.upgrade ?? "").toLowerCase();
  if (upgrade === "websocket") return openWebSocketChannels(call, wanted);
  if (upgrade === "spdy/3.1") return openSpdyChannels(call, wanted);
  throw badRequest("exec needs an upgrade to websocket or SPDY/3.1");
}

async function run(result: Promise<ExecResult>): Promise<Record<string, unknown>> {
  try {
    return statusOf(await result);
  } catch (error) {
    if (error instanceof ApiError) return error.toJSON();
    return statusOf({ error: error instanceof Error ? error.message : String(error) });
  }
}

function statusOf(result: ExecResult): Record<string, unknown> {
  const status = { metadata: {}, status: "Failure" };
  if ("error" in result) {
    return { ...status, message: result.error, reason: "InternalError", code: 500 };
  }
  const { exitCode } = result;
  if (exitCode === 0) return { ...status, status: "Success" };
  return {
    ...status,
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}
