/**
 * Values of labels that may not exceed 63 bytes, shortened so that the same text always gives the same value.
 * Proof: test/label-value.test.ts.
 * @module
 */
import { nodeBuiltin, UnsupportedError } from "@dm/core";

type NodeCrypto = Pick<typeof import("node:crypto"), "createHash">;

const maxLength = 63;

/**
 * `text` itself when it is short enough, otherwise its first 57 bytes and 6 digits of its SHA-256. Names of Kubernetes are ASCII;
 * others are cut between characters.
 * @throws {UnsupportedError} `DM_CRD_HASH_UNAVAILABLE` for long texts outside of Node, where only that part does not work.
 * @example labelValue("nightly"); // "nightly"
 */
export function labelValue(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= maxLength) return text;
  return truncated(bytes, maxLength - 6) + hexDigest("sha256", bytes).slice(0, 6);
}

/**
 * The value of `labels.repoName`: a name that is too long becomes its SHA3-224.
 * @throws {UnsupportedError} `DM_CRD_HASH_UNAVAILABLE` for long names outside of Node.
 */
export function repositoryLabelValue(repositoryName: string): string {
  const bytes = new TextEncoder().encode(repositoryName);
  return bytes.length <= maxLength ? repositoryName : hexDigest("sha3-224", bytes);
}

function hexDigest(algorithm: "sha256" | "sha3-224", bytes: Uint8Array): string {
  const crypto = nodeBuiltin<NodeCrypto>("node:crypto");
  if (crypto === undefined) {
    throw new UnsupportedError("DM_CRD_HASH_UNAVAILABLE", `${algorithm} is there in Node only`);
  }
  return crypto.createHash(algorithm).update(bytes).digest("hex");
}

function truncated(bytes: Uint8Array, length: number): string {
  let end = length;
  // a continuation byte belongs to the character before
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}
