/**
 * The error for an answer that no server of the kind that was asked gives.
 * Proof: test/s3-faults.test.ts, test/azure-faults.test.ts, test/gcs-faults.test.ts, test/webdav-multistatus.test.ts.
 * @module
 */
import { StorageError } from "@dm/core";

/** An empty answer, or XML or JSON that is cut in the middle, may pass; a page for people comes again. */
export function invalidAnswer(reason: string, bytes: Uint8Array): StorageError {
  const start = new TextDecoder().decode(bytes.subarray(0, 512)).trimStart();
  const html = /^<(?:!doctype\s+html|html)/i.test(start);
  const text = html
    ? "the answer is a web page: the endpoint is no server of this kind, or a proxy answered in its place"
    : `the answer is ${reason}`;
  return new StorageError(
    "DM_STORE_ANSWER_INVALID",
    text,
    { length: bytes.length, html },
    { retryable: !html && (start === "" || /^[<{]/.test(start)) },
  );
}
