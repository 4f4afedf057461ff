/**
 * `@dm/storage/sftp`: a directory of an SFTP server as a blob store. Node only; needs the package `ssh2`, or an SSH program.
 * @module
 */
export {
  decodeSftpConfig,
  encodeSftpConfig,
  type SftpConfig,
  sensitiveSftpMembers,
} from "./sftp/sftp-config.ts";
export { type SftpStoreOptions, sftpStore } from "./sftp/sftp-store.ts";
