/** A plain client over fetch, for servers without TLS. */
import type { ApiServer, Json } from "../../src/index.ts";

export interface Answer {
  readonly status: number;
  readonly body: Json;
  readonly headers: Headers;
}

export interface HttpClient {
  (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Lines of a watch as they come. */
  watch(path: string, signal?: AbortSignal): AsyncGenerator<Json>;
}

export function httpClient(server: ApiServer, token = server.adminToken): HttpClient {
  const authorization = { Authorization: `Bearer ${token}` };
  const client = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const response = await fetch(`${server.url}${path}`, {
      method,
      headers: { ...authorization, "Content-Type": "application/json", ...headers },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = text.startsWith("{") ? JSON.parse(text) : text;
    return { status: response.status, body: json, headers: response.headers };
  };
  return Object.assign(client, {
    async *watch(path: string, signal?: AbortSignal): AsyncGenerator<Json> {
      const response = await fetch(`${server.url}${path}`, {
        headers: authorization,
        ...(signal === undefined ? {} : { signal }),
      });
      let pending = "";
      for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        pending += chunk;
        const lines = pending.split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) yield JSON.parse(line);
      }
    },
  });
}
