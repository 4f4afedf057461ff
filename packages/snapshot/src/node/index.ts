export {
  createDataPlane,
  type DataPlaneDescription,
  type DataPlaneOptions,
  type WorkerDataPlane,
} from "./data-plane/data-plane.ts";
export {
  describePosix,
  type LoadPosixOptions,
  loadPosix,
  type PosixBackend,
} from "./posix/load-posix.ts";
export type { ByteRange, ExtendedAttribute, Posix } from "./posix/posix.ts";
export { restoreTree } from "./restore/restore-tree.ts";
