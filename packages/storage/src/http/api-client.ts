/**
 * One authorized request to a storage service and its answer, for services that speak HTTP but not S3. What a server teaches on
 * the way (that a token is used up, its time) is learned and the request sent again; repeating what merely failed is
 * left to the caller.
 * Proof: test/api-client.test.ts, test/azure-faults.test.ts, test/gcs-faults.test.ts.
 * @module
 */
import {
  type Clock,
  type DmError,
  type Logger,
  nsPerMs,
  silentLogger,
  systemClock,
} from "@dm/core";
import { raced } from "../raced.ts";
import type { HttpResponse, HttpTransport } from "./http-transport.ts";

/** An answer that is no success, taken apart. */
export interface Fault {
  readonly status: number;
  /** The service's word for it; empty where the answer has none. */
  readonly code: string;
  /** Fit for one line of a log. */
  readonly message: string;
  readonly requestId: string;
  /** The server's time, milliseconds since 1970. */
  readonly serverTimeMs: number | undefined;
}

/** What was asked, for messages. */
export interface ApiCall {
  /** `get`, `put`, `list`, … */
  readonly operation: string;
  /** Empty for requests about the container. */
  readonly key: string;
}

export interface RequestContent {
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
}

export interface ApiRequest extends ApiCall {
  readonly method: string;
  /** Encoded already, without anything secret. */
  readonly url: string;
  /** A function where it depends on the time, which is by the server's clock: that may be learned on the way. */
  readonly content?: RequestContent | ((nowMs: number) => RequestContent) | undefined;
  readonly maxBodyBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Answers to faults that the caller has; `undefined` leaves it to the general error. */
  readonly onFault?: ((fault: Fault) => HttpResponse | Error | undefined) | undefined;
}

/** A request before anything in it says who asks. */
export interface PlainRequest extends RequestContent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The same with it. */
export interface AuthorizedRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Tells one credential from another; never shown to anybody. */
  readonly proof: string;
}

/** Adds what proves who asks. Keeps what it knows, and is told when a server refuses it. */
export interface Authorizer {
  /** @param rejected the proof that a server has just refused: not to be used again if there is another */
  authorize(
    request: PlainRequest,
    context: { readonly nowMs: number; readonly rejected?: string | undefined },
  ): Promise<AuthorizedRequest>;
  /** A URL that lets anybody read for a time; absent where these credentials cannot give one. */
  signUrl?(
    url: string,
    context: { readonly nowMs: number; readonly lifetimeMs: number },
  ): Promise<string>;
}

/** How a service says things. */
export interface ApiDialect {
  readFault(response: HttpResponse, isHead: boolean): Fault;
  /** The error for a fault that the operation itself has no answer to. */
  error(fault: Fault, call: ApiCall): DmError;
  /** Whether other credentials might be accepted where these were refused. */
  credentialsRefused(fault: Fault): boolean;
  clockSkewed(fault: Fault): boolean;
}

export interface ApiClientOptions {
  readonly transport: HttpTransport;
  readonly authorizer: Authorizer;
  readonly dialect: ApiDialect;
  readonly timeoutMs: number;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export interface ApiClient {
  /**
   * An answer with a status of success, or the one that `onFault` gives.
   * @throws {StorageError | AccessError | NotFoundError} what the server's refusal means
   */
  request(request: ApiRequest): Promise<HttpResponse>;
  close(): Promise<void>;
}

/** Error documents have a few hundred bytes. */
const maxFaultBytes = 64 << 10;
/** Clock and credentials may each be wrong once; the others are a reserve. */
const maxCorrections = 4;

export function apiClient(options: ApiClientOptions): ApiClient {
  const { authorizer, clock = systemClock, dialect, timeoutMs, transport } = options;
  const { logger = silentLogger } = options;
  let clockOffsetMs = 0;
  const localMs = (): number => Number(clock.nowNs() / nsPerMs);

  function followedClock(fault: Fault, sentWithOffsetMs: number): boolean {
    if (!dialect.clockSkewed(fault) || fault.serverTimeMs === undefined) return false;
    // Another request may have learned it meanwhile.
    if (clockOffsetMs !== sentWithOffsetMs) return true;
    const offsetMs = fault.serverTimeMs - localMs();
    if (Math.abs(offsetMs - clockOffsetMs) < 60_000) return false;
    logger.warn("Followed the clock of the server", { offsetMs });
    clockOffsetMs = offsetMs;
    return true;
  }

  return {
    async request(request) {
      const { content, method, operation, key, signal, url } = request;
      const refused = new Set<string>();
      let rejected: string | undefined;
      let refusal: DmError | undefined;
      for (let correction = 0; ; correction++) {
        signal?.throwIfAborted();
        const sentWithOffsetMs = clockOffsetMs;
        const nowMs = localMs() + sentWithOffsetMs;
        const { body, headers = {} } =
          (typeof content === "function" ? content(nowMs) : content) ?? {};
        // Others may wait for the same token: an abort ends the waiting, not the loading.
        const authorized = await raced(
          authorizer.authorize({ method, url, headers, body }, { nowMs, rejected }),
          signal,
        );
        if (refusal && refused.has(authorized.proof)) throw refusal;
        const response = await transport.send({
          method,
          url: authorized.url,
          headers: authorized.headers,
          body,
          signal,
          maxBodyBytes: Math.max(request.maxBodyBytes, maxFaultBytes),
          timeoutMs,
        });
        if (response.status >= 200 && response.status < 300) return response;
        const fault = dialect.readFault(response, method === "HEAD");
        const answer = request.onFault?.(fault);
        if (answer instanceof Error) throw answer;
        if (answer) return answer;
        const error = dialect.error(fault, { operation, key });
        if (correction >= maxCorrections) throw error;
        if (followedClock(fault, sentWithOffsetMs)) continue;
        if (!dialect.credentialsRefused(fault)) throw error;
        rejected = authorized.proof;
        refused.add(rejected);
        refusal = error;
      }
    },
    close: () => transport.close(),
  };
}

const maxMessageLength = 300;

/** Text of a stranger, fit for one line of a log. */
export const printable = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, maxMessageLength);

/** Stands for an answer whose meaning its caller has noted already. */
export const notAnswered: HttpResponse = Object.freeze({
  status: 204,
  header: () => undefined,
  body: new Uint8Array(0),
});
