/**
 * Values of labels that may not exceed 63 bytes, shortened so that the same text always gives the same value.
 * Proof: test/label-value.test.ts.
 * @module
 */
import { createHash } from "node:crypto";

const maxLength = 63;

/**
 * `text` itself when it is short enough, otherwise its first 57 bytes and 6 digits of its SHA-256. Names of Kubernetes are ASCII;
 * others are cut between characters.
 * @example labelValue("nightly"); // "nightly"
 */
export function labelValue(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= maxLength) return text;
  const digest = createHash("sha256").update(bytes).digest("hex");
  return truncated(bytes, maxLength - 6) + digest.slice(0, 6);
}

/** The value of `labels.repoName`: a name that is too long becomes its SHA3-224. */
export function repositoryLabelValue(repositoryName: string): string {
  if (new TextEncoder().encode(repositoryName).length <= maxLength) return repositoryName;
  return createHash("sha3-224").update(repositoryName).digest("hex");
}

function truncated(bytes: Uint8Array, length: number): string {
  let end = length;
  // a continuation byte belongs to the character before
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}
