/**
 * Kopia's WebDAV provider: the layout of the filesystem provider on a WebDAV server.
 * Format: docs/format/blobs.md. Proof: test/webdav-faults.test.ts, test/webdav.rclone.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { BlobStore, BlobStoreFeatures } from "../blob-store.ts";
import { fetchTransport } from "../http/fetch-transport.ts";
import type { HttpTransport } from "../http/http-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
import type { RetryOptions } from "../retrying.ts";
import { type FileTree, shardedStore } from "../sharded-store.ts";
import { davClient } from "./webdav-client.ts";
import { decodeWebdavConfig, type WebdavConfig } from "./webdav-config.ts";
import { webdavTree } from "./webdav-tree.ts";

export interface WebdavStoreOptions {
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
  /** PEM, in place of the platform's certificate authorities; Node only. */
  readonly rootCa?: string | undefined;
  /** Node's HTTP client where there is one, else `fetch`, by default. */
  readonly transport?: HttpTransport | undefined;
  /** Longest silence of the server; 60,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** Longest blob that is read; 1 GiB by default. */
  readonly maxBlobBytes?: number | undefined;
  /** Ten calls in all by default; the store repeats by itself. */
  readonly retries?: RetryOptions | undefined;
  /** Hears at `debug` of what is tried again; silent by default. */
  readonly logger?: Logger | undefined;
}

const features: BlobStoreFeatures = { ifAbsent: false, retention: false, setTimestamp: false };

/**
 * Opens a directory of a WebDAV server as a blob store; no request is made before the first call.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = webdavStore({ url: "https://cloud.example.com/dav/backup", username: "backup", password: "…" });
 */
export function webdavStore(value: WebdavConfig, options: WebdavStoreOptions = {}): BlobStore {
  const config = decodeWebdavConfig(value);
  return shardedStore(configuredTree(config, options), {
    type: "webdav",
    displayName: `WebDAV: ${config.url}`,
    features,
    root: config.url,
    create: options.create,
    dirShards: config.dirShards,
    listParallelism: config.listParallelism || 8,
    retries: { attempts: 10, logger: options.logger, ...options.retries },
  });
}

/** The files behind a connection; `config` is checked already. */
export function configuredTree(config: WebdavConfig, options: WebdavStoreOptions): FileTree {
  const { maxBlobBytes = 1 << 30, rootCa, timeoutMs = 60_000 } = options;
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
