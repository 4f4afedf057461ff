/**
 * The Azure Blob Storage provider: one block blob for each blob, its name the prefix and the id.
 * Format: docs/format/blobs.md. Proof: test/azure-store.test.ts, test/azure-faults.test.ts, test/azure.azurite.test.ts.
 * @module
 */
import { nsPerMs, systemClock } from "@dm/core";
import { type Authorizer, apiClient } from "../http/api-client.ts";
import { fetchTransport } from "../http/fetch-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
import {
  type ObjectBlobStore,
  type ObjectStoreOptions,
  objectBlobStore,
} from "../http/object-store.ts";
import { objectsAt } from "../http/object-versions.ts";
import { encodeComponent } from "../http/percent-encoding.ts";
import { azureDialect } from "./azure-errors.ts";
import { azureObjects } from "./azure-objects.ts";

export interface AzureStoreOptions extends ObjectStoreOptions {
  readonly account: string;
  readonly container: string;
  /** `azureAccountKey`, `azureSharedAccessSignature` or `azureToken`. */
  readonly credentials: Authorizer;
  /** Of the cloud: `blob.core.windows.net` by default; `blob.core.chinacloudapi.cn`, `blob.core.usgovcloudapi.net`, … */
  readonly storageDomain?: string | undefined;
  /** True by default. */
  readonly tls?: boolean | undefined;
  /** URL of the account in place of `https://account.domain`: emulators, and gateways of one's own. */
  readonly endpoint?: string | undefined;
}

/**
 * Opens a container as a blob store; no request is made before the first call. What passes by itself is tried again.
 * @throws {TypeError} for an account, container, domain, endpoint or prefix that is none
 * @example
 * const credentials = azureAccountKey("backups", key);
 * const store = azureStore({ account: "backups", container: "kopia", prefix: "velero/kopia/shop/", credentials });
 */
export function azureStore(options: AzureStoreOptions): ObjectBlobStore {
  const { container, credentials, pointInTime, timeoutMs = 60_000 } = options;
  const accountUrl = accountUrlOf(options);
  if (!/^(?:\$root|\$web|[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9])$/.test(container)) {
    throw new TypeError(`not a name of a container: ${JSON.stringify(container)}`);
  }
  const transport = options.transport ?? nodeTransport(options) ?? fetchTransport();
  const dialect = azureDialect(container);
  const client = apiClient({ ...options, authorizer: credentials, dialect, timeoutMs, transport });
  const objects = azureObjects(client, `${accountUrl}/${container}`, container);
  const past = pointInTime && objectsAt(objects, BigInt(pointInTime.getTime()) * 1_000_000n);
  return objectBlobStore(options, {
    type: "azureBlob",
    displayName: `Azure: ${container}`,
    read: past ?? objects,
    write: past || options.readOnly ? undefined : objects,
    signUrl:
      credentials.signUrl &&
      (async (key, { lifetimeMs }) => {
        const path = key.split("/").map(encodeComponent).join("/");
        const nowMs = Number((options.clock ?? systemClock).nowNs() / nsPerMs);
        return credentials.signUrl!(`${accountUrl}/${container}/${path}`, { nowMs, lifetimeMs });
      }),
    close: () => client.close(),
  });
}

function accountUrlOf(options: AzureStoreOptions): string {
  const { account, endpoint, storageDomain = "blob.core.windows.net", tls = true } = options;
  if (!/^[a-z0-9-]{1,63}$/.test(account)) {
    throw new TypeError(`not a name of a storage account: ${JSON.stringify(account)}`);
  }
  if (endpoint === undefined && !/^[A-Za-z0-9.-]+(?::\d{1,5})?$/.test(storageDomain)) {
    throw new TypeError(`not a storage domain: ${JSON.stringify(storageDomain)}`);
  }
  const text = endpoint ?? `${tls ? "https" : "http"}://${account}.${storageDomain}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url && url.search === "" && url.hash === "" && url.username === "";
  if (!url || !plain || !/^https?:$/.test(url.protocol)) {
    // Not quoted: a signature may have been pasted with it.
    throw new TypeError("the endpoint is no plain URL of a storage account");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
