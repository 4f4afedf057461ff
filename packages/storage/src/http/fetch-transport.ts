/**
 * Requests through `fetch`: browsers, and every other place that has it.
 * Proof: test/s3-transport.test.ts.
 * @module
 */
import { isDmError, StorageError } from "@dm/core";
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

export interface FetchTransportOptions {
  /** The platform's by default. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

/**
 * A transport on `fetch`. The platform decides about connections, certificates and proxies. In a browser the bucket's CORS
 * rules must allow the methods used and the headers `authorization`, `content-md5`, `content-type`, `range` and `x-amz-*`.
 * @example const store = s3Store({ endpoint: "s3.example.com", bucket: "b", transport: fetchTransport() });
 */
export function fetchTransport(options: FetchTransportOptions = {}): HttpTransport {
  return {
    async send(request) {
      request.signal?.throwIfAborted();
      const stop = new AbortController();
      const guard = watch(request.timeoutMs, request.body?.length ?? 0, () =>
        stop.abort(requestTimedOut(request.timeoutMs)),
      );
      const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal;
      const answer: { begun: boolean } = { begun: false };
      try {
        const { fetch = globalThis.fetch } = options;
        const response = await fetch(request.url, {
          method: request.method,
          headers: request.headers,
          body: (request.body ?? null) as Uint8Array<ArrayBuffer> | null,
          redirect: "manual",
          cache: "no-store",
          credentials: "omit",
          signal,
        });
        answer.begun = true;
        // A page is not told where to; Node's `fetch` shows such an answer as it is.
        if (response.type === "opaqueredirect") throw redirectHidden(new URL(request.url).host);
        return await received(request, response, guard);
      } catch (error) {
        request.signal?.throwIfAborted();
        if (stop.signal.aborted) throw stop.signal.reason;
        // Lets go of a body that was not read to its end.
        stop.abort();
        if (isDmError(error)) throw error;
        if (answer.begun) throw answerIncomplete("the connection was cut", error);
        throw connectionError(error, new URL(request.url).host);
      } finally {
        guard.stop();
      }
    },
    async close() {},
  };
}

async function received(
  { method, maxBodyBytes }: HttpRequest,
  response: Response,
  guard: ReturnType<typeof watch>,
): Promise<HttpResponse> {
  // A coded body is decoded on its way: the header then tells the length of something else.
  const coded = response.headers.get("content-encoding") !== null;
  const length = coded ? undefined : contentLength(response.headers.get("content-length"));
  const expected = method === "HEAD" ? 0 : length;
  guard.answer(expected ?? maxBodyBytes);
  const body = bodyCollector(maxBodyBytes, expected);
  const reader = response.body?.getReader();
  let total = 0;
  for (let step = await reader?.read(); step && !step.done; step = await reader?.read()) {
    guard.progress();
    total += step.value.length;
    body.add(step.value);
  }
  if (expected !== undefined && total !== expected) {
    throw answerIncomplete(`${total} of ${expected} bytes`);
  }
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    body: body.finish(),
  };
}

function redirectHidden(host: string): StorageError {
  const text = `${host} sends us elsewhere, and a browser does not say where: give the endpoint of the bucket, and its region`;
  return new StorageError("DM_STORE_FAILED", text, { host });
}
