/**
 * How one content is hashed, sealed and opened, without stores, indexes and the schemas of stored JSON: what threads load
 * that do nothing else (`@dm/repo/sealing`). Proof: test/sealing.test.ts.
 * @module
 */
export { ContentDecoder } from "./content/content-decoder.ts";
export { type Crypter, type CrypterFormat, contentIv, createCrypter } from "./crypto/crypter.ts";
