/**
 * Writes an answer to its connection, whole or as a fault wants it.
 * Proof: test/testing-s3-faults.test.ts.
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { S3Fault } from "./faults.ts";
import type { S3Refusal } from "./refusal.ts";
import type { S3Answer } from "./request.ts";
import { tag, xmlDocument } from "./xml.ts";

/** Header values are bytes: what is not ASCII travels as UTF-8. */
const headerBytes = (value: string): string => Buffer.from(value, "utf8").toString("latin1");

/** The document that tells of an error. */
export function errorDocument(
  code: string,
  message: string,
  requestId: string,
  elements: Readonly<Record<string, string>> = {},
): string {
  return xmlDocument(
    "Error",
    tag("Code", code),
    tag("Message", message),
    ...Object.entries(elements).map(([name, value]) => tag(name, value)),
    tag("RequestId", requestId),
    tag("HostId", "test"),
  );
}

/** The answer that a refusal becomes. */
export function refusalAnswer(refusal: S3Refusal, requestId: string): S3Answer {
  const { code, elements, headers, message, status } = refusal;
  return { status, headers, body: errorDocument(code, message, requestId, elements) };
}

/** Sends an answer; resolves with the bytes of its body that were written when it is out, or the connection gone. */
export async function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: S3Answer,
  fault: S3Fault,
): Promise<number> {
  const isText = typeof answer.body === "string";
  const whole = isText ? Buffer.from(answer.body as string) : (answer.body ?? new Uint8Array(0));
  const { announceBytes, bytesPerSecond, resetAfterSentBytes, shortenToBytes } = fault;
  const body = shortenToBytes === undefined ? whole : whole.subarray(0, shortenToBytes);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers ?? {}))
    headers[name] = headerBytes(value);
  if (isText) headers["content-type"] ??= "application/xml";
  const bodiless = answer.status === 204 || answer.status === 304;
  if (!bodiless) headers["content-length"] ??= String(announceBytes ?? body.length);
  if (announceBytes !== undefined) headers["connection"] = "close";
  response.writeHead(answer.status, headers);
  if (bodiless || request.method === "HEAD") {
    await finished(response, () => response.end());
    return 0;
  }
  const cut = resetAfterSentBytes !== undefined && resetAfterSentBytes < body.length;
  const sent = cut ? body.subarray(0, resetAfterSentBytes) : body;
  if (bytesPerSecond !== undefined) await trickle(response, sent, bytesPerSecond);
  if (cut || (announceBytes !== undefined && announceBytes !== body.length)) {
    // The bytes must be out before the connection is cut, or the client would see an earlier cut.
    await finished(response, () => {
      if (bytesPerSecond === undefined && sent.length > 0) response.write(sent, done);
      else done();
      function done(): void {
        response.socket?.end(() => response.destroy());
        if (response.socket === null) response.destroy();
      }
    });
  } else {
    await finished(response, () => {
      if (bytesPerSecond === undefined) response.end(sent);
      else response.end();
    });
  }
  return sent.length;
}

const pauseMs = 20;

async function trickle(
  response: ServerResponse,
  body: Uint8Array,
  bytesPerSecond: number,
): Promise<void> {
  const pieceBytes = Math.max(1, Math.floor((bytesPerSecond * pauseMs) / 1000));
  const waitMs = Math.max(pauseMs, (pieceBytes / bytesPerSecond) * 1000);
  for (let at = 0; at < body.length && !response.destroyed; at += pieceBytes) {
    response.write(body.subarray(at, at + pieceBytes));
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** Runs `begin` and waits until the response has been handed over or its connection is gone. */
function finished(response: ServerResponse, begin: () => void): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve();
      return;
    }
    response.once("close", resolve);
    response.once("finish", resolve);
    begin();
  });
}
