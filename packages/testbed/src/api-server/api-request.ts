/**
 * One HTTP request as the handlers see it, and the ways to answer it.
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { parse as parseYaml } from "yaml";
import type { Json, StoredObject } from "../kube-object.ts";
import { ApiError, badRequest } from "./api-error.ts";
import type { User } from "./authentication.ts";

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly user: User;
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the client has gone or the server stops. */
  readonly signal: AbortSignal;
}

/** Real servers take 3 MiB. */
const maxBodyBytes = 3 * 1024 * 1024;

/** @throws {ApiError} 413 */
export async function readBody(request: ApiRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request.incoming as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) {
      throw new ApiError(
        413,
        "RequestEntityTooLarge",
        `Request entity too large: limit is ${maxBodyBytes}`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** JSON, or YAML where the content type says so. */
export function parseText(text: string, contentType: string): Json {
  try {
    return contentType.includes("yaml") ? parseYaml(text) : JSON.parse(text);
  } catch (error) {
    throw badRequest(
      `the object provided is unrecognized (must be of type JSON or YAML): ${(error as Error).message}`,
    );
  }
}

export function mediaType(request: ApiRequest): string {
  return (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

const texts = new WeakMap<StoredObject, string>();

/** The JSON of an object in a version. Made once for each stored object, because many watches and lists send the same one. */
export function objectText(object: StoredObject, apiVersion: string): string {
  if (object.apiVersion !== apiVersion) return JSON.stringify({ ...object, apiVersion });
  let text = texts.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    texts.set(object, text);
  }
  return text;
}

export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = "application/json",
): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(text);
  response.writeHead(status, { "Content-Type": contentType, "Content-Length": body.length });
  response.end(body);
}

export function sendJson(response: ServerResponse, status: number, value: Json): void {
  sendText(response, status, JSON.stringify(value));
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(500, "InternalError", `Internal error occurred: ${(error as Error).message}`);
}

export function sendError(response: ServerResponse, error: unknown): void {
  const refusal = asApiError(error);
  const seconds = refusal.statusDetails?.retryAfterSeconds;
  if (seconds !== undefined && !response.headersSent) {
    response.setHeader("Retry-After", String(seconds));
  }
  sendJson(response, refusal.status, refusal);
}
