export {
  type Certificate,
  type CertificateOptions,
  selfSignedCertificate,
} from "../http/self-signed-certificate.ts";
export {
  type AccessKey,
  allPermissions,
  type Permission,
  readerPermissions,
  testAccessKey,
  writerPermissions,
} from "./s3/access-key.ts";
export type {
  DefaultRetention,
  ObjectVersion,
  Retention,
  RetentionMode,
  StoredChecksum,
} from "./s3/buckets.ts";
export { type CorsRule, openCors } from "./s3/cors.ts";
export {
  type FaultScope,
  faultOn,
  type InjectedAnswer,
  type S3Call,
  type S3Fault,
  type S3FaultRule,
  type SeededS3FaultOptions,
  seededS3Faults,
  slowDown,
} from "./s3/faults.ts";
export type { Latency } from "./s3/latency.ts";
export type { S3Feature } from "./s3/missing-features.ts";
export type { S3Operation } from "./s3/operation.ts";
export {
  type BucketOptions,
  type BucketView,
  type Elsewhere,
  type S3LogEntry,
  type S3Server,
  type S3ServerOptions,
  startS3Server,
} from "./s3/server.ts";
export type { AssumableRole, WebIdentity } from "./s3/token-service.ts";
