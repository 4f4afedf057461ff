/**
 * `@dm/storage/webdav`: a directory of a WebDAV server as a blob store, in Node and in browsers.
 * @module
 */
export {
  decodeWebdavConfig,
  encodeWebdavConfig,
  sensitiveWebdavMembers,
  type WebdavConfig,
} from "./webdav/webdav-config.ts";
export { type WebdavStoreOptions, webdavStore } from "./webdav/webdav-store.ts";
