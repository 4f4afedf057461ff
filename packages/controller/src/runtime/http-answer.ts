/**
 * Reading answers over HTTP within bounds of time and size, and what goes wrong with them as errors of ours.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import type { IncomingMessage } from "node:http";
import { type Clock, isDmError } from "@dm/core";
import { type KubeStatus, unavailable } from "./kube-errors.ts";

/** Runs `work` with a signal that aborts when the caller's does or the time is up. */
export async function withTimeLimit<Result>(
  what: string,
  limitMs: number,
  clock: Clock,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const timer = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  let late = false;
  clock.sleep(limitMs, { signal: timer.signal }).then(
    () => {
      late = true;
      stop.abort(new Error("too late"));
    },
    () => undefined,
  );
  try {
    return await work(stop.signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw late ? unavailable(`${what}: no answer within ${limitMs} ms`) : asOurs(what, error);
  } finally {
    timer.abort();
    signal?.removeEventListener("abort", onAbort);
  }
}

export async function readBody(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > maxBytes) throw unavailable(`an answer of more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

export function parseJson(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text is not repeated: it may be part of a Secret.
    throw unavailable(`${what}: the answer is not JSON (${text.length} characters)`);
  }
}

/** Proxies and dying servers answer with plain text or HTML. */
export function parseStatus(text: string): KubeStatus {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && !Array.isArray(body)) return body;
  } catch {
    // Not a Status.
  }
  return { message: text.slice(0, 200).trim() || undefined };
}

export function retryAfterOf(response: IncomingMessage): number | undefined {
  const seconds = Number(response.headers["retry-after"]);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined;
}

/** Whatever goes wrong with a connection is the outside's failure; errors of ours and programming errors stay. */
export function asOurs(what: string, error: unknown): unknown {
  if (isDmError(error) || error instanceof TypeError || error instanceof RangeError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return unavailable(`${what}: ${code ?? message}`, code === undefined ? {} : { code }, error);
}
