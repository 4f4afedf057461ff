/**
 * Streams of a command over a WebSocket: `v5.channel.k8s.io` and `v4.channel.k8s.io`. The first byte of a message says which
 * stream it belongs to; v5 can also say that stdin has ended.
 * Proof: test/api-server/pod-streams.test.ts.
 * @module
 */
import { PassThrough, Writable } from "node:stream";
import { badRequest } from "./api-error.ts";
import type { ExecCall, ExecChannels, WantedChannels } from "./exec.ts";
import { acceptWebSocket } from "./web-socket.ts";

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, close: 255 } as const;

/** Best first. */
const protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

export async function openWebSocketChannels(
  { incoming, socket, head }: ExecCall,
  wanted: WantedChannels,
): Promise<ExecChannels> {
  const offered = (incoming.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/);
  const protocol = protocols.find((one) => offered.includes(one));
  if (protocol === undefined) throw badRequest(`exec speaks ${protocols.join(" and ")}`);
  const gone = new AbortController();
  const stdin = wanted.stdin ? new PassThrough() : undefined;
  const connection = acceptWebSocket(incoming, socket, head, {
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
  return {
    stdin,
    stdout: wanted.stdout ? output(channel.stdout) : undefined,
    stderr: wanted.stderr ? output(channel.stderr) : undefined,
    gone: gone.signal,
    async finish(status) {
      const text = Buffer.from(JSON.stringify(status));
      connection.send(Buffer.concat([Buffer.from([channel.error]), text]));
      await connection.close();
    },
  };
}
