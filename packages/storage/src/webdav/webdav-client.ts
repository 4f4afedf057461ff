/**
 * Requests to a WebDAV server, and what its refusals mean.
 * Proof: test/webdav-faults.test.ts.
 * @module
 */
import { AccessError, StorageError, toBase64, utf8Encode } from "@dm/core";
import type { HttpResponse, HttpTransport } from "../http/http-transport.ts";
import { optionUnsupported } from "../store-errors.ts";

export interface DavRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE" | "MKCOL" | "MOVE" | "PROPFIND";
  /** Of the request, in the URL's spelling. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly maxBodyBytes?: number | undefined;
}

export interface DavClient {
  /** Whole answers, whatever their status; only those that mean nothing to any caller are errors already. */
  send(request: DavRequest): Promise<HttpResponse>;
  /** The error for an answer that the caller has no use for. */
  refusal(request: DavRequest, response: HttpResponse): Error;
  /** `https://host:port`. */
  readonly origin: string;
  close(): Promise<void>;
}

export interface DavClientOptions {
  readonly url: URL;
  readonly username: string;
  readonly password: string;
  readonly transport: HttpTransport;
  readonly timeoutMs: number;
}

/** Answers without blobs or lists: at most a page that says what went wrong. */
const maxSmallAnswerBytes = 1 << 20;

export function davClient(options: DavClientOptions): DavClient {
  const { password, timeoutMs, transport, url, username } = options;
  const authorization: Record<string, string> =
    username === "" && password === ""
      ? {}
      : { authorization: `Basic ${toBase64(utf8Encode(`${username}:${password}`))}` };
  return {
    origin: url.origin,
    send(request) {
      const { body, maxBodyBytes = maxSmallAnswerBytes, method, path, signal } = request;
      return transport.send({
        method,
        url: url.origin + path,
        // Blobs are encrypted: nothing to gain from compressing them.
        headers: { "accept-encoding": "identity", ...authorization, ...request.headers },
        body,
        signal,
        maxBodyBytes,
        timeoutMs,
      });
    },
    refusal({ method, path }, response) {
      const { status } = response;
      const what = `${method} ${path}`;
      const details = { status, method, path };
      if (status === 401) return notLetIn(response, username, details);
      if (status === 403) {
        const text = `no permission for ${what} on the server: give the user rights to it`;
        return new AccessError("DM_STORE_ACCESS_DENIED", text, details);
      }
      if (status === 507 || status === 413) {
        const text = `no space on the server for ${path} (status ${status})`;
        return new StorageError("DM_STORE_NO_SPACE", text, details);
      }
      if (status >= 300 && status < 400) {
        const text = `${what}: the server sends us ${placeOf(response)}; use that URL`;
        return new StorageError("DM_STORE_FAILED", text, details);
      }
      if (status === 405 || status === 501) return methodRefused(method, what, details);
      const retryable = [408, 409, 423, 425, 429].includes(status) || status >= 500;
      const text = `${what} failed: the server answers with status ${status}`;
      return new StorageError("DM_STORE_FAILED", text, details, { retryable });
    },
    close: () => transport.close(),
  };
}

function notLetIn(
  response: HttpResponse,
  username: string,
  details: Readonly<Record<string, unknown>>,
): Error {
  const offers = response.header("www-authenticate") ?? "";
  if (offers !== "" && !/\bbasic\b/i.test(offers)) {
    const scheme = /^[\w-]{1,20}/.exec(offers)?.[0] ?? "another";
    return optionUnsupported(
      "webdav",
      `${scheme} authentication; let the server offer Basic, in TLS`,
    );
  }
  if (username === "") {
    const text = "the server lets nobody in without a username and a password";
    return new AccessError("DM_STORE_CREDENTIALS_MISSING", text, details);
  }
  const text = "the server refuses this username and password";
  return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, details);
}

function methodRefused(
  method: string,
  what: string,
  details: Readonly<Record<string, unknown>>,
): Error {
  if (method === "PROPFIND") {
    const text = `there is no WebDAV at this URL (status ${String(details["status"])}): check it`;
    return new StorageError("DM_STORE_FAILED", text, details);
  }
  if (method === "MOVE") {
    return optionUnsupported(
      "webdav",
      "MOVE on this server; atomicWrites does without, if its PUT is atomic",
    );
  }
  // Some servers, rclone among them, call a file that they could not store by this name.
  const text = `${what}: the server does not take it (status ${String(details["status"])})`;
  return new StorageError("DM_STORE_FAILED", text, details, { retryable: method === "PUT" });
}

function placeOf(response: HttpResponse): string {
  const location = response.header("location") ?? "";
  return URL.canParse(location) ? `to ${new URL(location).host}` : "elsewhere";
}
