/**
 * A proxy in front of the API server that breaks as the test says: gone, silent, cut in the middle of a line, full of errors.
 * @module
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ProxiedRequest {
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
}

export interface Fault {
  readonly status: number;
  readonly reason: string;
  readonly retryAfterSeconds?: number | undefined;
  /** The request reaches the server all the same, only its answer is lost. */
  readonly afterwards?: boolean | undefined;
}

export interface FaultyProxy extends AsyncDisposable {
  readonly url: string;
  readonly seen: ProxiedRequest[];
  /** Connections end at once, those that are open too. */
  down: boolean;
  /** Watches deliver nothing any more, but stay open; after it is false again new ones do. */
  silent: boolean;
  /** Every line of a watch is sent twice. */
  doubled: boolean;
  /** Asked for each request; undefined lets it through. */
  fault: (request: ProxiedRequest) => Fault | undefined;
  /** Called before a request is passed on. */
  before: (request: ProxiedRequest) => void;
  readonly openWatches: number;
  /** Watches begun so far. */
  readonly watchesBegun: number;
  /** Ends all watches, in the middle of a line if asked. */
  dropWatches(midLine?: boolean): void;
}

export async function faultyProxy(target: string): Promise<FaultyProxy> {
  const watches = new Set<(midLine: boolean) => void>();
  const sockets = new Set<{ destroy(): unknown }>();
  let down = false;
  let watchesBegun = 0;

  const answerFault = (response: ServerResponse, fault: Fault): void => {
    const { status, reason, retryAfterSeconds } = fault;
    response.writeHead(status, {
      "content-type": "application/json",
      ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
    });
    response.end(
      JSON.stringify({ kind: "Status", status: "Failure", code: status, reason, message: reason }),
    );
  };

  const passOn = (
    incoming: IncomingMessage,
    response: ServerResponse,
    one: ProxiedRequest,
  ): void => {
    const fault = proxy.fault(one);
    if (fault && !fault.afterwards) {
      incoming.resume();
      answerFault(response, fault);
      return;
    }
    proxy.before(one);
    const url = new URL(one.path, target);
    const { method } = incoming;
    const out = request(url, { method, headers: { ...incoming.headers, host: url.host } });
    out.on("error", () => response.destroy());
    response.on("close", () => out.destroy());
    out.on("response", (answer: IncomingMessage) => {
      if (fault) {
        answer.resume();
        answerFault(response, fault);
        return;
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      if (!one.isWatch || answer.statusCode !== 200) {
        answer.pipe(response);
        return;
      }
      passOnWatch(answer, response);
    });
    incoming.pipe(out);
  };

  const passOnWatch = (answer: IncomingMessage, response: ServerResponse): void => {
    response.flushHeaders();
    let mute = proxy.silent;
    let rest = "";
    const drop = (midLine: boolean): void => {
      if (midLine) response.write('{"type":"MODIFIED","object":{"metad');
      setImmediate(() => response.destroy());
    };
    watches.add(drop);
    watchesBegun += 1;
    response.on("close", () => watches.delete(drop));
    answer.setEncoding("utf8");
    answer.on("data", (text: string) => {
      mute ||= proxy.silent;
      if (mute) return;
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) response.write(`${line}\n`.repeat(proxy.doubled ? 2 : 1));
    });
    answer.on("end", () => {
      if (!mute) response.end();
    });
    answer.on("error", () => response.destroy());
  };

  const seen: ProxiedRequest[] = [];
  const server = createServer((incoming, response) => {
    const path = incoming.url ?? "/";
    const isWatch = new URL(path, target).searchParams.get("watch") === "true";
    const one = { method: incoming.method ?? "GET", path, isWatch };
    seen.push(one);
    if (down) incoming.socket.destroy();
    else passOn(incoming, response, one);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    if (down) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${port}`,
    seen,
    get down() {
      return down;
    },
    set down(value) {
      down = value;
      if (down) for (const socket of sockets) socket.destroy();
    },
    silent: false,
    doubled: false,
    fault: () => undefined,
    before: () => undefined,
    get openWatches() {
      return watches.size;
    },
    get watchesBegun() {
      return watchesBegun;
    },
    dropWatches(midLine = false) {
      for (const drop of watches) drop(midLine);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
