export type { ByteRange, ExtendedAttribute, Posix } from "./posix/posix.ts";
