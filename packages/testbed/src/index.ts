export { ApiError, type StatusCause, type StatusDetails } from "./api-server/api-error.ts";
export {
  type ApiServer,
  type ApiServerOptions,
  createApiServer,
  type KubeconfigOptions,
} from "./api-server/api-server.ts";
export type {
  ExecOptions,
  ExecResult,
  LogOptions,
  PodStreams,
  PodTarget,
} from "./api-server/pod-streams.ts";
export type {
  ClusterApi,
  ClusterDeleteOptions,
  ClusterEvent,
  ClusterWriteOptions,
} from "./cluster-api.ts";
export type { Json, NewObject, ObjectMeta, StoredObject } from "./kube-object.ts";
export { type VirtualClock, virtualClock } from "./virtual-clock.ts";
