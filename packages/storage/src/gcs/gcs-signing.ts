/**
 * Signed URLs of Google Cloud Storage (V4, RSA), by the key of a service account.
 * Proof: test/gcs-credentials.test.ts.
 * @module
 */

import type { Signer } from "../http/bearer-token.ts";
import { sha256Hex } from "../http/digests.ts";
import { encodeComponent, encodeQuery } from "../http/percent-encoding.ts";

/** A URL under which anybody can read `/bucket/key` of `endpoint` for a time. */
export async function signGcsUrl(
  endpoint: string,
  path: readonly string[],
  signer: Signer,
  { lifetimeMs, nowMs }: { readonly lifetimeMs: number; readonly nowMs: number },
): Promise<string> {
  const { host, origin, pathname } = new URL(endpoint);
  const resource = `${pathname.replace(/\/+$/, "")}/${path.map(encodeComponent).join("/")}`;
  const time = new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, "");
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`;
  const query = encodeQuery({
    "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
    "X-Goog-Credential": `${signer.email}/${scope}`,
    "X-Goog-Date": time,
    "X-Goog-Expires": String(Math.floor(lifetimeMs / 1_000)),
    "X-Goog-SignedHeaders": "host",
  });
  const request = ["GET", resource, query, `host:${host}`, "", "host", "UNSIGNED-PAYLOAD"];
  const digest = await sha256Hex(new TextEncoder().encode(request.join("\n")));
  const signature = await signer.sign(["GOOG4-RSA-SHA256", time, scope, digest].join("\n"));
  const hex = [...signature].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${origin}${resource}?${query}&X-Goog-Signature=${hex}`;
}
