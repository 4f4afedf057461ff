/**
 * Commands in containers over a WebSocket: `v5.channel.k8s.io` and `v4.channel.k8s.io`. The first byte of a message says which
 * stream it belongs to; v5 can also say that stdin has ended.
 * Proof: test/api-server/pod-streams.test.ts.
 * @module
 */
import type { IncomingMessage } from "node:http";
import { type Duplex, PassThrough, Writable } from "node:stream";
import type { StoredObject } from "../kube-object.ts";
import { ApiError, badRequest } from "./api-error.ts";
import type { ExecOptions, ExecResult, PodStreams } from "./pod-streams.ts";
import { podTarget } from "./pod-subresources.ts";
import { acceptWebSocket } from "./web-socket.ts";

export interface ExecSocketCall {
  readonly pod: StoredObject;
  readonly podStreams: PodStreams;
  readonly query: URLSearchParams;
  readonly incoming: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly signal: AbortSignal;
}

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** Best first. */
const protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/**
 * Runs the command and resolves when the connection is at its end.
 * @throws {ApiError} before the connection has been taken over
 */
export async function serveExec(call: ExecSocketCall): Promise<void> {
  const { query, incoming, socket } = call;
  if ((incoming.headers.upgrade ?? "").toLowerCase() !== "websocket") {
    throw badRequest(
      "exec is served over WebSocket only: use kubectl 1.31 or newer, or set KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true",
    );
  }
  const offered = (incoming.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/);
  const protocol = protocols.find((one) => offered.includes(one));
  if (protocol === undefined) throw badRequest(`exec speaks ${protocols.join(" and ")}`);
  const command = query.getAll("command");
  if (command.length === 0) throw badRequest("you must specify at least 1 command to exec");
  const target = podTarget(call.pod, query.get("container"));
  const wants = (name: string): boolean => ["1", "true"].includes(query.get(name) ?? "");
  if (!wants("stdin") && !wants("stdout") && !wants("stderr")) {
    throw badRequest("you must specify at least 1 of stdin, stdout, stderr");
  }

  const gone = new AbortController();
  const stdin = wants("stdin") ? new PassThrough() : undefined;
  const connection = acceptWebSocket(incoming, socket, call.head, {
    protocol,
    onMessage(message) {
      if (message[0] === channel.close && message[1] === channel.stdin) stdin?.end();
      if (message[0] !== channel.stdin || stdin === undefined || message.length < 2) return;
      if (stdin.write(message.subarray(1))) return;
      socket.pause();
      stdin.once("drain", () => socket.resume());
    },
    onClose() {
      stdin?.end();
      gone.abort();
    },
  });
  const output = (number: number): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        connection.send(Buffer.concat([Buffer.from([number]), chunk]), () => callback());
      },
    });
  const tty = wants("tty");
  const options: ExecOptions = {
    command,
    tty,
    stdin,
    stdout: wants("stdout") ? output(channel.stdout) : undefined,
    stderr: wants("stderr") && !tty ? output(channel.stderr) : undefined,
    signal: AbortSignal.any([gone.signal, call.signal]),
  };
  let status: Record<string, unknown>;
  try {
    status = statusOf(await call.podStreams.exec(target, options));
  } catch (error) {
    status =
      error instanceof ApiError
        ? error.toJSON()
        : statusOf({ error: error instanceof Error ? error.message : String(error) });
  }
  connection.send(
    Buffer.concat([Buffer.from([channel.error]), Buffer.from(JSON.stringify(status))]),
  );
  await connection.close();
}

function statusOf(result: ExecResult): Record<string, unknown> {
  if ("error" in result) {
    return {
      metadata: {},
      status: "Failure",
      message: result.error,
      reason: "InternalError",
      code: 500,
    };
  }
  if (result.exitCode === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${result.exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(result.exitCode) }] },
  };
}
