/**
 * The Google Cloud Storage provider: one object for each blob, its name the prefix and the id.
 * Format: docs/format/blobs.md. Proof: test/gcs-store.test.ts, test/gcs-faults.test.ts, test/gcs.fake-gcs-server.test.ts.
 * @module
 */
import { nsPerMs, systemClock } from "@dm/core";
import { type Authorizer, apiClient } from "../http/api-client.ts";
import { bearerAuthorizer, type TokenProvider } from "../http/bearer-token.ts";
import { fetchTransport } from "../http/fetch-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
import {
  type ObjectBlobStore,
  type ObjectStoreOptions,
  objectBlobStore,
} from "../http/object-store.ts";
import { objectsAt } from "../http/object-versions.ts";
import { optionUnsupported } from "../store-errors.ts";
import { gcsDialect } from "./gcs-errors.ts";
import { gcsObjects } from "./gcs-objects.ts";
import { signGcsUrl } from "./gcs-signing.ts";

export interface GcsStoreOptions extends ObjectStoreOptions {
  readonly bucket: string;
  /** Without it requests carry no token: a public bucket, an emulator. */
  readonly credentials?: TokenProvider | undefined;
  /** URL in place of `https://storage.googleapis.com`. */
  readonly endpoint?: string | undefined;
}

const googleEndpoint = "https://storage.googleapis.com";

const anonymous: Authorizer = {
  authorize: async ({ headers, url }) => ({ headers, url, proof: "" }),
};

/**
 * Opens a bucket as a blob store; no request is made before the first call. What passes by itself is tried again.
 * @throws {TypeError} for a bucket, endpoint or prefix that is none
 * @example
 * const credentials = gcsFileCredentials("/var/run/secrets/cloud/key.json");
 * const store = gcsStore({ bucket: "backups", prefix: "velero/kopia/shop/", credentials });
 */
export function gcsStore(options: GcsStoreOptions): ObjectBlobStore {
  const { bucket, credentials, pointInTime, timeoutMs = 60_000 } = options;
  const endpoint = options.endpoint ?? googleEndpoint;
  if (!/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucket)) {
    throw new TypeError(`not a name of a bucket: ${JSON.stringify(bucket)}`);
  }
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || url.search || url.hash || url.username || !/^https?:$/.test(url.protocol)) {
    throw new TypeError("the endpoint is no plain URL of http or https");
  }
  const transport = options.transport ?? nodeTransport(options) ?? fetchTransport();
  const client = apiClient({
    ...options,
    authorizer: credentials ? bearerAuthorizer(credentials) : anonymous,
    dialect: gcsDialect(bucket),
    timeoutMs,
    transport,
  });
  const base = `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
  const objects = gcsObjects(client, base, bucket);
  const past = pointInTime && objectsAt(objects, BigInt(pointInTime.getTime()) * 1_000_000n);
  return objectBlobStore(options, {
    type: "gcs",
    displayName: `GCS: ${bucket}`,
    read: past ?? objects,
    write: past || options.readOnly ? undefined : objects,
    async signUrl(key, { lifetimeMs }) {
      const signer = await credentials?.signer?.();
      if (signer === undefined)
        throw optionUnsupported("gcs", "signed URLs without the key of a service account");
      const nowMs = Number((options.clock ?? systemClock).nowNs() / nsPerMs);
      return signGcsUrl(base, [bucket, ...key.split("/")], signer, { lifetimeMs, nowMs });
    },
    close: () => client.close(),
  });
}
