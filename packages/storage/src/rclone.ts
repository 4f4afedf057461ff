/**
 * `@dm/storage/rclone`: any backend that rclone knows as a blob store. Node only; needs the program rclone.
 * @module
 */
export {
  decodeRcloneConfig,
  encodeRcloneConfig,
  type RcloneConfig,
  sensitiveRcloneMembers,
} from "./rclone/rclone-config.ts";
export { type RcloneStoreOptions, rcloneStore } from "./rclone/rclone-store.ts";
