/**
 * Reading an object, or exactly a range of it, from a server that knows `Range`: never a short result.
 * Proof: test/s3-store.test.ts, test/s3-faults.test.ts, test/azure-store.test.ts, test/azure-faults.test.ts,
 * test/gcs-store.test.ts, test/gcs-faults.test.ts.
 * @module
 */
import { StorageError } from "@dm/core";
import { notAnswered } from "./api-client.ts";
import { answerIncomplete, type HttpResponse } from "./http-transport.ts";
import { invalidAnswer } from "./invalid-answer.ts";
import type { ByteRange, ObjectCall, ObjectErrors } from "./object-store.ts";

/** What a service says that is no success, as far as reading goes. */
interface ReadFault {
  readonly status: number;
}

/** A request for bytes, but for where they are. */
export interface ReadRequest<Fault extends ReadFault> {
  readonly operation: "get";
  readonly method: "GET";
  readonly key: string;
  readonly content: { readonly headers: Readonly<Record<string, string>> };
  readonly maxBodyBytes: number;
  readonly signal: AbortSignal | undefined;
  readonly onFault: (fault: Fault) => HttpResponse | Error | undefined;
}

export interface RangedRead<Fault extends ReadFault> extends ObjectCall {
  readonly key: string;
  /** Without it the whole object. */
  readonly range: ByteRange | undefined;
  readonly maxBytes: number;
  readonly errors: ObjectErrors;
  readonly isMissing: (fault: Fault) => boolean;
  send(request: ReadRequest<Fault>): Promise<HttpResponse>;
  /** Length of the object, by another request. */
  objectLength(): Promise<number>;
}

export async function rangedGet<Fault extends ReadFault>(
  read: RangedRead<Fault>,
): Promise<Uint8Array> {
  const { key, range } = read;
  if (!range) {
    const whole = await ask(read, undefined, read.maxBytes);
    if (whole?.status === 200) return whole.body;
    const { status = 416, body = new Uint8Array(0) } = whole ?? {};
    throw invalidAnswer(`status ${status} to a request without a range`, body);
  }
  const { offset, length } = range;
  const end = length === undefined ? undefined : offset + length;
  const wanted = `bytes=${offset}-${end === undefined ? "" : end - 1}`;
  const response = await ask(read, wanted, length ?? read.maxBytes);
  if (!response) {
    const objectLength = await read.objectLength();
    if (length === undefined && offset === objectLength) return new Uint8Array(0);
    if (end === undefined || end > objectLength) throw read.errors.range(objectLength);
    throw new StorageError(
      "DM_STORE_ANSWER_INVALID",
      `the server refuses a range within ${key}`,
      { key, offset, length, objectLength },
      { retryable: true },
    );
  }
  const { body } = response;
  if (response.status === 200) {
    // The whole object in place of the range: allowed, if it is no longer than the range was.
    if (offset > body.length || (end ?? 0) > body.length) throw read.errors.range(body.length);
    return body.slice(offset, end);
  }
  const served = parseContentRange(response.header("content-range"));
  if (served && (served.from !== offset || served.to - served.from + 1 !== body.length)) {
    throw answerIncomplete(`another range of ${key} than was asked for, or less of it`);
  }
  const objectLength = async (): Promise<number> => served?.total ?? (await read.objectLength());
  if (length === undefined) {
    if (offset + body.length === (await objectLength())) return body;
    throw answerIncomplete(`${body.length} bytes of ${key} from ${offset} on`);
  }
  if (body.length === length) return body;
  const total = await objectLength();
  if (offset + length > total) throw read.errors.range(total);
  throw answerIncomplete(`${body.length} of ${length} bytes of ${key}`);
}

/** @returns undefined for an answer 416 */
async function ask<Fault extends ReadFault>(
  { errors, isMissing, key, send, signal }: RangedRead<Fault>,
  range: string | undefined,
  maxBodyBytes: number,
): Promise<HttpResponse | undefined> {
  const response = await send({
    operation: "get",
    method: "GET",
    key,
    content: { headers: range === undefined ? {} : { range } },
    maxBodyBytes,
    signal,
    onFault(fault) {
      if (isMissing(fault)) return errors.missing();
      return fault.status === 416 ? notAnswered : undefined;
    },
  });
  if (response === notAnswered) return undefined;
  if (isNoObject(response))
    throw invalidAnswer(`status ${response.status}, and no object`, response.body);
  return response;
}

/** One of these comes with every object, in a browser perhaps only the second. */
const describing = ["etag", "last-modified", "x-goog-generation"];

/**
 * Somebody has answered in the place of the server: with a page, which no blob is, or with nothing, and without what a server says
 * of every object, also in a browser.
 */
const isNoObject = ({ body, header, status }: HttpResponse): boolean => {
  if (/^text\/html\b/i.test(header("content-type") ?? "")) return true;
  if (status !== 200) return false;
  if (body.length === 0) return !describing.some((name) => header(name));
  return /^<(?:!doctype\s|html)/i.test(String.fromCharCode(...body.subarray(0, 10)));
};

/** `bytes 0-9/100`. */
export function parseContentRange(
  text: string | undefined,
): { readonly from: number; readonly to: number; readonly total: number } | undefined {
  const found = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(text ?? "");
  return found
    ? { from: Number(found[1]), to: Number(found[2]), total: Number(found[3]) }
    : undefined;
}
