/**
 * `/healthz`, `/readyz` and `/metrics` over HTTP, for the kubelet and for Prometheus.
 * Proof: test/runtime/manager.test.ts.
 * @module
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Metrics } from "./metrics.ts";

/** Undefined when all is well, else what is not. */
export type Check = () => string | undefined;

export interface EndpointOptions {
  /** Loopback by default; the pod's address, or `0.0.0.0`, for the kubelet's probes. */
  readonly host?: string | undefined;
  /** 0 for any free one. */
  readonly port: number;
  readonly health: Check;
  readonly readiness: Check;
  readonly metrics?: Metrics | undefined;
}

export interface Endpoints {
  readonly url: string;
  close(): Promise<void>;
}

export async function serveEndpoints(options: EndpointOptions): Promise<Endpoints> {
  const { host = "127.0.0.1", port, health, readiness, metrics } = options;
  const server: Server = createServer((request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type });
      response.end(request.method === "HEAD" ? undefined : text);
    };
    const check = (one: Check): void => {
      const wrong = one();
      if (wrong === undefined) answer(200, "ok\n");
      else answer(503, `${wrong}\n`);
    };
    if (request.method !== "GET" && request.method !== "HEAD") {
      answer(405, "only GET\n");
      return;
    }
    const path = (request.url ?? "").split("?")[0];
    if (path === "/healthz" || path === "/livez") check(health);
    else if (path === "/readyz") check(readiness);
    else if (path === "/metrics" && metrics) {
      answer(200, metrics.text(), "text/plain; version=0.0.4; charset=utf-8");
    } else answer(404, "not here\n");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { address, port: bound, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
