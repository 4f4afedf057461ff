/**
 * Kopia's rclone provider, for Node: any backend that rclone knows, through its own WebDAV server.
 * Format: docs/format/blobs.md. Proof: test/webdav.rclone.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import { StorageError, utf8Encode } from "@dm/core";
import type { BlobStore, BlobStoreFeatures, CallOptions } from "../blob-store.ts";
import { nodeTransport } from "../http/node-transport.ts";
import { reopening } from "../reopening.ts";
import {
  defaultMaxBlobBytes,
  type FileTree,
  type RemoteStoreOptions,
  remoteStore,
} from "../sharded-store.ts";
import { davClient } from "../webdav/webdav-client.ts";
import { webdavTree } from "../webdav/webdav-tree.ts";
import { decodeRcloneConfig, type RcloneConfig } from "./rclone-config.ts";
import { startRclone } from "./rclone-process.ts";

/** With `debug` in the connection the logger hears also what rclone says. */
export type RcloneStoreOptions = RemoteStoreOptions;

const features: BlobStoreFeatures = { ifAbsent: false, retention: false, setTimestamp: false };

/**
 * Opens a place that rclone reaches as a blob store. The process starts with the first call, again when it has ended, and is
 * stopped by `close`.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = rcloneStore({ remotePath: "drive:backup" });
 */
export function rcloneStore(value: RcloneConfig, options: RcloneStoreOptions = {}): BlobStore {
  const config = decodeRcloneConfig(value);
  const { remotePath: root } = config;
  const store = { type: "rclone", displayName: `RClone ${root}`, features, root };
  return remoteStore(rcloneTree(config, options), store, config, options);
}

interface Running {
  readonly tree: FileTree;
  /** rclone remembers directories for minutes: other clients change them. */
  forget(call: CallOptions): Promise<void>;
  stop(): Promise<void>;
}

function rcloneTree(config: RcloneConfig, options: RcloneStoreOptions): FileTree {
  const processes = reopening(
    (onEnded) => start(config, options, onEnded),
    ({ stop }) => stop(),
  );
  const fresh = async (call: CallOptions): Promise<FileTree> => {
    const { forget, tree } = await processes.current();
    call.signal?.throwIfAborted();
    await forget(call);
    return tree;
  };
  return {
    makeRoot: async (call) => (await fresh(call)).makeRoot(call),
    read: async (path, call) => (await fresh(call)).read(path, call),
    write: async (path, data, call) => (await processes.current()).tree.write(path, data, call),
    remove: async (path, call) => (await processes.current()).tree.remove(path, call),
    stat: async (path, call) => (await fresh(call)).stat(path, call),
    list: async (path, call) => (await fresh(call)).list(path, call),
    capacity: async () => undefined,
    close: () => processes.close(),
  };
}

async function start(
  config: RcloneConfig,
  options: RcloneStoreOptions,
  onEnded: () => void,
): Promise<Running> {
  const { logger, maxBlobBytes = defaultMaxBlobBytes, timeoutMs = 300_000 } = options;
  const server = await startRclone(config, logger);
  server.ended.then(onEnded);
  const { certificateFingerprint, password, username } = server;
  const transport = nodeTransport({ certificateFingerprint });
  if (!transport) throw new TypeError("rclone can be started in Node only");
  const clientOf = (url: string) =>
    davClient({ url: new URL(url), username, password, transport, timeoutMs });
  const files = clientOf(server.webdavUrl);
  const control = clientOf(server.controlUrl);
  return {
    tree: webdavTree({
      client: files,
      basePath: "",
      atomicWrites: config.atomicWrites ?? false,
      maxBlobBytes,
    }),
    async forget({ signal }) {
      const response = await control.send({
        method: "POST",
        path: "/vfs/forget",
        headers: { "content-type": "application/json" },
        body: utf8Encode("{}"),
        signal,
      });
      if (response.status === 200) return;
      const text = `rclone does not forget what it remembers (status ${response.status})`;
      throw new StorageError("DM_STORE_FAILED", text, { status: response.status });
    },
    async stop() {
      await server.stop();
      await transport.close();
    },
  };
}
