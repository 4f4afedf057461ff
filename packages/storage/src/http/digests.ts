/**
 * The two digests that S3 asks for: by Node's OpenSSL where it is, by WebCrypto and `@noble/hashes` elsewhere.
 * @module
 */
import { nodeBuiltin, toBase64, toHex } from "@dm/core";
import { md5 } from "@noble/hashes/legacy.js";

const nodeCrypto = nodeBuiltin<typeof import("node:crypto")>("node:crypto");

/** From here on the thread pool is worth its way. */
const largeBytes = 256 << 10;

/** For `Content-MD5`. WebCrypto has no MD5, and Node refuses it in FIPS mode. */
export function md5Base64(data: Uint8Array): string {
  try {
    if (nodeCrypto) return nodeCrypto.createHash("md5").update(data).digest("base64");
  } catch {
    // Forbidden here; it guards the way only, not the secret.
  }
  return toBase64(md5(data));
}

/** For `x-amz-content-sha256`. */
export async function sha256Hex(data: Uint8Array): Promise<string> {
  if (nodeCrypto && data.length < largeBytes) {
    return nodeCrypto.createHash("sha256").update(data).digest("hex");
  }
  return toHex(
    new Uint8Array(await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>)),
  );
}
