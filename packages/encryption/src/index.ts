export {
  type ContentEncryption,
  type CreateEncryptionOptions,
  createEncryption,
  describeEncryption,
  type EncryptItem,
  type EncryptionBackends,
  type EncryptOptions,
} from "./encryption.ts";
export {
  aes256GcmOpen,
  aes256GcmSeal,
  type DerivePasswordKeyOptions,
  defaultKeyDerivationAlgorithm,
  derivePasswordKey,
  type HkdfOptions,
  hkdfSha256,
  hmacSha256,
  type KeyDerivationAlgorithm,
  type KeyDerivationDescription,
  keyDerivationAlgorithms,
} from "./key-derivation.ts";
export {
  defaultEncryptionAlgorithm,
  type EncryptionAlgorithm,
  type EncryptionDescription,
  encryptionAlgorithms,
  encryptionDescription,
} from "./registry.ts";
