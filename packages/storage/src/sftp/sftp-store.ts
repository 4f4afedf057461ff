/**
 * Kopia's SFTP provider, for Node: the layout of the filesystem provider on a server that is reached by SSH.
 * Format: docs/format/blobs.md. Proof: test/sftp.sshd.test.ts, test/sftp-faults.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import type { BlobStore, BlobStoreFeatures } from "../blob-store.ts";
import { defaultMaxBlobBytes, type RemoteStoreOptions, remoteStore } from "../sharded-store.ts";
import { decodeSftpConfig, type SftpConfig } from "./sftp-config.ts";
import { SftpSession } from "./sftp-session.ts";
import { sftpTree } from "./sftp-tree.ts";
import { connect } from "./ssh-connection.ts";

export type SftpStoreOptions = RemoteStoreOptions;

const features: BlobStoreFeatures = { ifAbsent: true, retention: false, setTimestamp: true };

/**
 * Opens a directory of an SFTP server as a blob store. No connection is made before the first call; a lost one is made
 * again, and what it interrupted is repeated.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`
 * @example const store = sftpStore({ host: "nas.example.com", username: "backup", keyfile: "/etc/backup/key", path: "/backup" });
 */
export function sftpStore(value: SftpConfig, options: SftpStoreOptions = {}): BlobStore {
  const config = decodeSftpConfig(value);
  const { maxBlobBytes = defaultMaxBlobBytes, timeoutMs = 60_000 } = options;
  const root = config.path.replace(/(?<=.)\/+$/, "");
  const tree = sftpTree({
    root,
    maxBlobBytes,
    open: async (onClosed) =>
      SftpSession.open(await connect(config, timeoutMs), timeoutMs, onClosed),
  });
  const displayName = `SFTP ${config.username}@${config.host}`;
  return remoteStore(tree, { type: "sftp", displayName, features, root }, config, options);
}
