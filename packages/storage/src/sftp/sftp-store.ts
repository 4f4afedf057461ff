/**
 * Kopia's SFTP provider, for Node: the layout of the filesystem provider on a server that is reached by SSH.
 * Format: docs/format/blobs.md. Proof: test/sftp.sshd.test.ts, test/sftp-faults.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { BlobStore, BlobStoreFeatures } from "../blob-store.ts";
import type { RetryOptions } from "../retrying.ts";
import { shardedStore } from "../sharded-store.ts";
import { decodeSftpConfig, type SftpConfig } from "./sftp-config.ts";
import { SftpSession } from "./sftp-session.ts";
import { sftpTree } from "./sftp-tree.ts";
import { connect } from "./ssh-connection.ts";

export interface SftpStoreOptions {
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
  /** Longest silence of the server while an answer is due; 60,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** Longest blob that is read without a range; 1 GiB by default. */
  readonly maxBlobBytes?: number | undefined;
  /** Ten calls in all by default; the store repeats by itself. */
  readonly retries?: RetryOptions | undefined;
  /** Hears at `debug` of what is tried again; silent by default. */
  readonly logger?: Logger | undefined;
}

const features: BlobStoreFeatures = { ifAbsent: true, retention: false, setTimestamp: true };

/**
 * Opens a directory of an SFTP server as a blob store. No connection is made before the first call; a lost one is made
 * again, and what it interrupted is repeated.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = sftpStore({ host: "nas.example.com", username: "backup", keyfile: "/etc/backup/key", path: "/backup" });
 */
export function sftpStore(value: SftpConfig, options: SftpStoreOptions = {}): BlobStore {
  const config = decodeSftpConfig(value);
  const { create, logger, maxBlobBytes = 1 << 30, timeoutMs = 60_000 } = options;
  const root = config.path.replace(/(?<=.)\/+$/, "");
  const tree = sftpTree({
    root,
    maxBlobBytes,
    open: async (onClosed) =>
      SftpSession.open(await connect(config, timeoutMs), timeoutMs, onClosed),
  });
  return shardedStore(tree, {
    type: "sftp",
    displayName: `SFTP ${config.username}@${config.host}`,
    features,
    root,
    create,
    dirShards: config.dirShards,
    listParallelism: config.listParallelism || 8,
    retries: { attempts: 10, logger, ...options.retries },
  });
}
