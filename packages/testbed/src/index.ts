export { ApiError, type StatusCause, type StatusDetails } from "./api-server/api-error.ts";
export {
  type ApiServer,
  type ApiServerOptions,
  createApiServer,
  type KubeconfigOptions,
} from "./api-server/api-server.ts";
export type { ApiFaults, ErrorFault, FaultyRequest } from "./api-server/faults.ts";
export type {
  ExecOptions,
  ExecResult,
  LogOptions,
  PodStreams,
  PodTarget,
} from "./api-server/pod-streams.ts";
export type { DeniedRequest } from "./api-server/request-dispatch.ts";
export type { RequestCount, RequestFilter, RequestLog } from "./api-server/request-log.ts";
export {
  type Cluster,
  type ClusterOptions,
  type NodeDescription,
  startCluster,
} from "./cluster.ts";
export type {
  ClusterApi,
  ClusterDeleteOptions,
  ClusterEvent,
  ClusterWriteOptions,
} from "./cluster-api.ts";
export {
  type ControllersOptions,
  type RunningControllers,
  startControllers,
} from "./controllers/index.ts";
export { CsiDriver, type CsiDriverOptions, defaultDriverName } from "./csi/csi-driver.ts";
export type { CsiFault, CsiFaults, CsiOperation } from "./csi/faults.ts";
export { type RunningStorage, type StorageOptions, startStorage } from "./csi/storage.ts";
export type { ContentKind } from "./csi/volume-content.ts";
export type { VolumeRecord, VolumeSnapshotRecord } from "./csi/volume-store.ts";
export type { Json, NewObject, ObjectMeta, StoredObject } from "./kube-object.ts";
export type { ImageProgram, ImageTable } from "./kubelet/images.ts";
export type { StartFault } from "./kubelet/pod-worker.ts";
export { defaultKubeletTimes, type KubeletTimes } from "./kubelet/times.ts";
export { VirtualNode } from "./kubelet/virtual-node.ts";
export type {
  PublishedVolume,
  PublishRequest,
  VolumeDriver,
  VolumeTarget,
  VolumeWriters,
} from "./kubelet/volume-driver.ts";
export { type SchedulerOptions, startScheduler } from "./scheduler.ts";
export { type VirtualClock, virtualClock } from "./virtual-clock.ts";
