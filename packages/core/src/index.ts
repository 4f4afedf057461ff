export {
  compareBytes,
  concatBytes,
  copyBytes,
  equalBytes,
  fromBase64,
  fromBase64Url,
  fromHex,
  toBase64,
  toBase64Url,
  toHex,
  utf8Decode,
  utf8DecodeStrict,
  utf8Encode,
} from "./bytes.ts";
export {
  type Clock,
  type ManualClock,
  manualClock,
  nsPerMs,
  type RandomBytes,
  systemClock,
  systemRandomBytes,
} from "./clock.ts";
export { type MapOptions, mapConcurrent, Semaphore } from "./concurrency.ts";
export {
  AccessError,
  ConflictError,
  DmError,
  type DmErrorOptions,
  type ErrorDetails,
  FormatError,
  IntegrityError,
  isDmError,
  NotFoundError,
  StorageError,
  type StorageErrorOptions,
  UnsupportedError,
} from "./errors.ts";
export { parseGoDuration } from "./go-duration.ts";
export { type LogFields, type Logger, silentLogger } from "./logger.ts";
export { nodeBuiltin } from "./platform.ts";
