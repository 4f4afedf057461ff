/**
 * How requests leave the process: one seam, two implementations. Answers are whole and bounded; a blob has at most some
 * tens of MiB, and a stream would be read again from its beginning at every retry anyway.
 * @module
 */
import { StorageError } from "@dm/core";

export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  /** Names in lower case. Length and host are the transport's business. */
  readonly headers: Readonly<Record<string, string>>;
  /** Borrowed until the promise settles. */
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A longer answer is refused. */
  readonly maxBodyBytes: number;
  /** Longest silence; see {@link watch}. */
  readonly timeoutMs: number;
}

export interface HttpResponse {
  readonly status: number;
  /** The value of a header by its name in lower case; undefined also where CORS does not expose it. */
  header(name: string): string | undefined;
  /** The caller's. */
  readonly body: Uint8Array;
}

/**
 * Sends one request and reads its answer to the end; follows no redirects, repeats nothing.
 * Rejects with `signal.reason` on abort, with a `StorageError` when there is no whole answer.
 */
export interface HttpTransport {
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): Promise<void>;
}

/** A transfer slower than this is given up: 20 MiB may take five minutes longer than an empty answer. */
const slowestBytesPerSecond = 64 << 10;

/** Largest buffer that is reserved because a header asks for it; beyond, memory grows with what really arrives. */
const maxReservedBytes = 64 << 20;

/** The watch over one request: sending with the wait for the headers first, then the body. */
export interface Watch {
  /** The answer begins, and will have this many bytes. */
  answer(bytes: number): void;
  /** Something arrived. */
  progress(): void;
  stop(): void;
}

/**
 * Calls `onExpired` once when nothing is heard for `timeoutMs` (plus the time that `bytes` may need to be sent), or when an
 * answer trickles.
 */
export function watch(timeoutMs: number, bytes: number, onExpired: () => void): Watch {
  const allowance = (count: number): number => timeoutMs + (count / slowestBytesPerSecond) * 1000;
  let heardAt = performance.now();
  let silenceMs = allowance(bytes);
  let endsAt = heardAt + silenceMs;
  let timer: ReturnType<typeof setTimeout>;
  const check = (): void => {
    const leftMs = Math.min(heardAt + silenceMs, endsAt) - performance.now();
    if (leftMs > 0) timer = setTimeout(check, Math.ceil(leftMs));
    else onExpired();
  };
  timer = setTimeout(check, silenceMs);
  return {
    answer(count) {
      heardAt = performance.now();
      silenceMs = timeoutMs;
      endsAt = heardAt + allowance(count);
      clearTimeout(timer);
      timer = setTimeout(check, timeoutMs);
    },
    progress() {
      heardAt = performance.now();
    },
    stop: () => clearTimeout(timer),
  };
}

/** Collects the pieces of a body of at most `maxBytes`; `expected` is what the headers promise, where they do. */
export function bodyCollector(
  maxBytes: number,
  expected: number | undefined,
): { add(chunk: Uint8Array): void; finish(): Uint8Array } {
  if (expected !== undefined && expected > maxBytes) throw answerTooLong(maxBytes);
  let bytes = new Uint8Array(expected === undefined ? 0 : Math.min(expected, maxReservedBytes));
  let length = 0;
  return {
    add(chunk) {
      const end = length + chunk.length;
      if (end > maxBytes) throw answerTooLong(maxBytes);
      if (end > bytes.length) {
        const larger = new Uint8Array(Math.min(maxBytes, Math.max(end, bytes.length * 2, 4096)));
        larger.set(bytes.subarray(0, length));
        bytes = larger;
      }
      bytes.set(chunk, length);
      length = end;
    },
    finish: () => (length === bytes.length ? bytes : bytes.slice(0, length)),
  };
}

/** The value of a `Content-Length` header, or undefined where it is missing or no length. */
export function contentLength(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}

function answerTooLong(maxBytes: number): StorageError {
  return new StorageError(
    "DM_STORE_ANSWER_INVALID",
    `the answer has more than the ${maxBytes} bytes that it may have`,
    { maxBytes },
  );
}

/** For an answer that ended before its end. */
export function answerIncomplete(detail: string, cause?: unknown): StorageError {
  return new StorageError(
    "DM_STORE_ANSWER_INCOMPLETE",
    `the answer ended too early: ${detail}`,
    {},
    { cause, retryable: true },
  );
}

/** For a server that is silent. */
export function requestTimedOut(timeoutMs: number): StorageError {
  return new StorageError(
    "DM_STORE_TIMEOUT",
    `no answer, or no progress, within ${timeoutMs} ms`,
    { timeoutMs },
    { retryable: true },
  );
}

const untrusted =
  /^(?:CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:VERIFY|GET)_|ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH|INVALID_CA)/;

/** What a failed connection means; `host` names the server. Never quotes the request. */
export function connectionError(cause: unknown, host: string): StorageError {
  const own = cause as { code?: unknown; cause?: { code?: unknown } };
  const code = String(own?.code ?? own?.cause?.code ?? "");
  const details = { host, code };
  if (untrusted.test(code)) {
    const remedy = "give the certificate authority of the server, or do not verify TLS";
    const text = `the certificate of ${host} is not trusted (${code}): ${remedy}`;
    return new StorageError("DM_STORE_TLS_UNTRUSTED", text, details, { cause });
  }
  if (/SSL_WRONG_VERSION_NUMBER|SSL_PACKET_LENGTH_TOO_LONG|^EPROTO$/.test(code)) {
    const text = `${host} does not speak TLS (${code}): does the endpoint want plain HTTP?`;
    return new StorageError("DM_STORE_UNREACHABLE", text, details, { cause });
  }
  if (code === "ENOTFOUND") {
    const text = `there is no host ${host}: check the endpoint`;
    return new StorageError("DM_STORE_UNREACHABLE", text, details, { cause });
  }
  const reason = code === "" ? "no connection, or CORS does not allow it" : code;
  const text = `${host} cannot be reached: ${reason}`;
  return new StorageError("DM_STORE_UNREACHABLE", text, details, { cause, retryable: true });
}
