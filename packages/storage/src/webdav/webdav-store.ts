/**
 * Kopia's WebDAV provider: the layout of the filesystem provider on a WebDAV server.
 * Format: docs/format/blobs.md. Proof: test/webdav-faults.test.ts, test/webdav.rclone.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import type { BlobStore, BlobStoreFeatures } from "../blob-store.ts";
import { fetchTransport } from "../http/fetch-transport.ts";
import type { HttpTransport } from "../http/http-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
import {
  defaultMaxBlobBytes,
  type FileTree,
  type RemoteStoreOptions,
  remoteStore,
} from "../sharded-store.ts";
import { davClient } from "./webdav-client.ts";
import { decodeWebdavConfig, type WebdavConfig } from "./webdav-config.ts";
import { webdavTree } from "./webdav-tree.ts";

export interface WebdavStoreOptions extends RemoteStoreOptions {
  /** PEM, in place of the platform's certificate authorities; Node only. */
  readonly rootCa?: string | undefined;
  /** Node's HTTP client where there is one, else `fetch`, by default. */
  readonly transport?: HttpTransport | undefined;
}

const features: BlobStoreFeatures = { ifAbsent: false, retention: false, setTimestamp: false };

/**
 * Opens a directory of a WebDAV server as a blob store; no request is made before the first call.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = webdavStore({ url: "https://cloud.example.com/dav/backup", username: "backup", password: "…" });
 */
export function webdavStore(value: WebdavConfig, options: WebdavStoreOptions = {}): BlobStore {
  const config = decodeWebdavConfig(value);
  const { url: root } = config;
  const store = { type: "webdav", displayName: `WebDAV: ${root}`, features, root };
  return remoteStore(configuredTree(config, options), store, config, options);
}

/** The files behind a connection; `config` is checked already. */
function configuredTree(config: WebdavConfig, options: WebdavStoreOptions): FileTree {
  const { maxBlobBytes = defaultMaxBlobBytes, rootCa, timeoutMs = 60_000 } = options;
  const url = new URL(config.url);
  const certificateFingerprint = config.trustedServerCertificateFingerprint || undefined;
  const transport =
    options.transport ?? nodeTransport({ rootCa, certificateFingerprint }) ?? fetchTransport();
  const { password = "", username = "" } = config;
  const client = davClient({ url, username, password, transport, timeoutMs });
  const basePath = url.pathname.replace(/\/+$/, "");
  return webdavTree({
    client,
    basePath,
    atomicWrites: config.atomicWrites ?? false,
    maxBlobBytes,
  });
}
