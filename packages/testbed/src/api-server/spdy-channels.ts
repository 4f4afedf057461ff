/**
 * Streams of a command over SPDY/3.1, as kubectl up to 1.30 opens them: one stream each for `error`, `stdin`, `stdout` and
 * `stderr`, named in their headers, and `resize` for terminals.
 * Proof: test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import { PassThrough, Writable } from "node:stream";
import { badRequest } from "./api-error.ts";
import type { ExecCall, ExecChannels, WantedChannels } from "./exec.ts";
import { openSpdy } from "./spdy.ts";

const protocols = ["v4.channel.k8s.io"];

export async function openSpdyChannels(
  { incoming, socket, head }: ExecCall,
  wanted: WantedChannels,
): Promise<ExecChannels> {
  const offered = String(incoming.headers["x-stream-protocol-version"] ?? "").split(/\s*,\s*/);
  const protocol = protocols.find((one) => offered.includes(one));
  if (protocol === undefined) throw badRequest(`exec over SPDY speaks ${protocols.join(" and ")}`);
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );

  const names = ["error", "stdin", "stdout", "stderr"].filter(
    (name) => name === "error" || wanted[name as "stdin" | "stdout" | "stderr"],
  );
  if (wanted.tty) names.push("resize");
  const streams = new Map<string, number>();
  const gone = new AbortController();
  const stdin = wanted.stdin ? new PassThrough() : undefined;
  const closed = Promise.withResolvers<void>();
  const complete = Promise.withResolvers<void>();
  const connection = openSpdy(socket, head, {
    onStream(id, headers) {
      streams.set(headers.get("streamtype") ?? "", id);
      if (names.every((name) => streams.has(name))) complete.resolve();
    },
    onData(id, data, last) {
      if (stdin === undefined || id !== streams.get("stdin")) return;
      if (data.length > 0 && !stdin.write(data)) {
        socket.pause();
        stdin.once("drain", () => socket.resume());
      }
      if (last) stdin.end();
    },
    onClose() {
      stdin?.end();
      gone.abort();
      complete.resolve();
      closed.resolve();
    },
  });
  await complete.promise;
  const idOf = (name: string): number => streams.get(name) ?? 0;
  const output = (name: string): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        connection.send(idOf(name), chunk, false, () => callback());
      },
    });
  return {
    stdin,
    stdout: wanted.stdout ? output("stdout") : undefined,
    stderr: wanted.stderr ? output("stderr") : undefined,
    gone: gone.signal,
    async finish(status) {
      const nothing = Buffer.alloc(0);
      for (const name of ["stdout", "stderr"] as const) {
        if (wanted[name]) connection.send(idOf(name), nothing, true);
      }
      connection.send(idOf("error"), Buffer.from(JSON.stringify(status)), true);
      // The client ends the connection when it has read everything.
      await closed.promise;
      socket.end();
    },
  };
}
