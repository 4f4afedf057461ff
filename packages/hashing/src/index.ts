export {
  type ContentHash,
  type CreateHashOptions,
  createHash,
  describeHashing,
  type HashingDescription,
} from "./hash.ts";
export {
  defaultHashAlgorithm,
  type HashAlgorithm,
  type HashDescription,
  type HashFamily,
  hashAlgorithms,
  hashDescription,
} from "./registry.ts";
