/**
 * A request as the operations see it, and what they answer: the server has found out who asks for what, and may.
 * @module
 */
import type { Permission } from "./access-key.ts";
import type { ReceivedBody } from "./body.ts";
import type { Bucket, Buckets } from "./buckets.ts";
import type { S3Operation } from "./operation.ts";
import type { Payloads } from "./payloads.ts";
import type { MultipartUploads } from "./uploads.ts";

export interface S3Request {
  readonly operation: S3Operation;
  readonly bucketName: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly nowMs: number;
  /** Whether the key that signed the request may do this; to its own bucket unless another is named. */
  permits(permission: Permission, objectKey: string, bucketName?: string): boolean;
  /** The body, checked; `xml` bodies are short. To be called once at most. */
  receive(kind: "object" | "xml"): Promise<ReceivedBody>;
}

export interface S3Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Texts are XML. */
  readonly body?: Uint8Array | string | undefined;
}

/** What the operations work on. */
export interface S3State {
  readonly region: string;
  readonly buckets: Buckets;
  readonly payloads: Payloads;
  readonly uploads: MultipartUploads;
  /** Smallest part but for the last one. */
  readonly minPartBytes: number;
  readonly maxObjectBytes: number;
  /** How far behind the answer to this request's list is, in milliseconds. */
  staleMs(request: S3Request): number;
}

export type S3Handler = (request: S3Request, state: S3State) => Promise<S3Answer>;

/** The bucket that a request names; refused when there is none. */
export const bucketOf = (request: S3Request, state: S3State): Bucket =>
  state.buckets.get(request.bucketName);

/** Headers without those that are undefined. */
export function headersOf(
  entries: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(entries))
    if (value !== undefined) headers[name] = value;
  return headers;
}
