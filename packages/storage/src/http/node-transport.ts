/**
 * Requests through Node's own HTTP client: connections that are kept, own certificate authorities, proxies. Takes about half of the
 * processor time of `fetch` (docs/decisions).
 * Proof: test/s3-transport.test.ts.
 * @module
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { isDmError, nodeBuiltin, Semaphore } from "@dm/core";
import {
  answerIncomplete,
  bodyCollector,
  connectionError,
  contentLength,
  type HttpRequest,
  type HttpResponse,
  type HttpTransport,
  requestTimedOut,
  watch,
} from "./http-transport.ts";
import { normalFingerprint, pinCertificate } from "./pinned-certificate.ts";

export interface NodeTransportOptions {
  /** PEM; in place of the platform's certificate authorities. */
  readonly rootCa?: string | undefined;
  /** Whether certificates are looked at; true by default. */
  readonly verifyTls?: boolean | undefined;
  /** SHA-256 of the one certificate that is trusted, in hexadecimal, in place of all authorities; without proxies. */
  readonly certificateFingerprint?: string | undefined;
  /** Requests under way, each on a connection of its own; more wait. 64 by default. */
  readonly maxConnections?: number | undefined;
  /** Where `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are looked up (Node 24.5 and later); `process.env` by default. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

interface Client {
  request(url: string, options: RequestOptions): ClientRequest;
}

/** The machine itself is never asked through a proxy. */
const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * A transport on `node:http` and `node:https`, or undefined where these are not: in a browser.
 * @example const transport = nodeTransport({ rootCa: readFileSync("ca.pem", "utf8") }) ?? fetchTransport();
 */
export function nodeTransport(options: NodeTransportOptions = {}): HttpTransport | undefined {
  const http = nodeBuiltin<typeof import("node:http")>("node:http");
  const https = nodeBuiltin<typeof import("node:https")>("node:https");
  if (!http || !https) return undefined;
  const agents = new Map<string, Agent>();
  const { maxConnections = 64 } = options;
  const pinned =
    options.certificateFingerprint === undefined
      ? undefined
      : normalFingerprint(options.certificateFingerprint);
  // Requests wait here and not in the agent, where the time they wait would count as silence of the server.
  const free = new Semaphore(maxConnections);

  const agentFor = (url: URL): Agent => {
    const direct = pinned !== undefined || loopback.test(url.hostname);
    const kind = `${url.protocol} ${direct}`;
    const known = agents.get(kind);
    if (known) return known;
    const settings = {
      keepAlive: true,
      maxSockets: maxConnections,
      // The connection used last is the least likely to have been closed meanwhile.
      scheduling: "lifo" as const,
      ...(direct ? {} : { proxyEnv: (options.environment ?? process.env) as NodeJS.ProcessEnv }),
    };
    const made =
      url.protocol === "https:"
        ? new https.Agent({
            ...settings,
            rejectUnauthorized: options.verifyTls ?? true,
            ...(options.rootCa === undefined ? {} : { ca: options.rootCa }),
          })
        : new http.Agent(settings);
    if (pinned !== undefined && url.protocol === "https:") pinCertificate(made, pinned);
    agents.set(kind, made);
    return made;
  };

  return {
    async send(request) {
      const url = new URL(request.url);
      const client: Client = url.protocol === "https:" ? https : http;
      const release = await free.acquire({ signal: request.signal });
      try {
        return await exchange(client, agentFor(url), request, url.host);
      } finally {
        release();
      }
    },
    async close() {
      for (const agent of agents.values()) agent.destroy();
      agents.clear();
    },
  };
}

function exchange(
  client: Client,
  agent: Agent,
  request: HttpRequest,
  host: string,
): Promise<HttpResponse> {
  const { body, signal, timeoutMs } = request;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const headers: Record<string, string | number> = { ...request.headers };
    if (body) headers["content-length"] = body.length;
    const outgoing = client.request(request.url, { method: request.method, headers, agent });
    let answerBegan = false;
    const guard = watch(timeoutMs, body?.length ?? 0, () => fail(requestTimedOut(timeoutMs)));
    const settle = (): void => {
      guard.stop();
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error);
      outgoing.destroy();
    };
    const onAbort = (): void => fail(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    // A server may refuse while the body is still on its way and close: its answer, when it came, is worth more.
    outgoing.on("error", (error) => {
      if (!answerBegan) fail(isDmError(error) ? error : connectionError(error, host));
    });
    outgoing.on("response", (message) => {
      answerBegan = true;
      receive(message, request, guard).then(
        (response) => {
          settle();
          resolve(response);
          // Answered before all was sent: what is left of the body belongs to the caller again.
          if (!outgoing.writableFinished) outgoing.destroy();
        },
        (error: unknown) =>
          fail(isDmError(error) ? error : answerIncomplete("the connection was cut", error)),
      );
    });
    outgoing.end(body);
  });
}

function receive(
  message: IncomingMessage,
  { method, maxBodyBytes }: HttpRequest,
  guard: ReturnType<typeof watch>,
): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const expected = method === "HEAD" ? 0 : contentLength(message.headers["content-length"]);
    guard.answer(expected ?? maxBodyBytes);
    const body = bodyCollector(maxBodyBytes, expected);
    message.on("error", reject);
    message.on("data", (chunk: Uint8Array) => {
      guard.progress();
      try {
        body.add(chunk);
      } catch (error) {
        reject(error);
      }
    });
    message.on("end", () => {
      if (!message.complete) {
        reject(answerIncomplete("the connection was closed"));
        return;
      }
      const { headers } = message;
      resolve({
        status: message.statusCode ?? 0,
        header: (name) => {
          const value = headers[name];
          return Array.isArray(value) ? value.join(", ") : value;
        },
        body: body.finish(),
      });
    });
  });
}
