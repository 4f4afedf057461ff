export {
  type ApiDiscovery,
  type ApiResource,
  apiDiscovery,
  type ServerVersion,
} from "./api-discovery.ts";
export {
  type Cache,
  type CacheChange,
  type CacheHandler,
  type CacheOptions,
  cacheDefaults,
  createCache,
} from "./cache.ts";
export {
  type Controller,
  type ControllerQueue,
  type ControllerSource,
  controllerDefaults,
  type Reconciled,
  type ReconcileResult,
  type RunControllerOptions,
  runController,
  source,
} from "./controller.ts";
export {
  createEventRecorder,
  type EventOptions,
  type EventRecorder,
  type EventRecorderOptions,
} from "./event-recorder.ts";
export {
  type JsonLoggerOptions,
  jsonLogger,
  type LogFormat,
  type LogLevel,
  withFields,
} from "./json-logger.ts";
export type {
  DeleteOptions,
  KubeCallOptions,
  KubeClient,
  ListOptions,
  ListPage,
  ObjectKey,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./kube-client.ts";
export type {
  KubeConnection,
  KubeConnectionDescription,
  KubeServer,
  PreparedConnection,
} from "./kube-connection.ts";
export {
  isAlreadyExists,
  isConflict,
  isNotFound,
  isUnavailable,
  retryAfterMsOf,
} from "./kube-errors.ts";
export {
  type LeaseOptions,
  type LeaseResult,
  leaseDefaults,
  microTime,
  type WithLeaseOptions,
  withLease,
} from "./lease.ts";
export {
  createManager,
  type Manager,
  type ManagerOptions,
  managerDefaults,
  stopSignal,
} from "./manager.ts";
export { applyMergePatch, mergePatchBetween, sameJson } from "./merge-patch.ts";
export {
  type Counter,
  createMetrics,
  type Gauge,
  type Histogram,
  type MetricLabels,
  type Metrics,
} from "./metrics.ts";
export {
  type NodeKubeClient,
  type NodeKubeClientOptions,
  nodeKubeClient,
  nodeKubeClientDefaults,
  type PodLogOptions,
} from "./node-client.ts";
export { keyOf, keyText, parseKeyText } from "./object-key.ts";
export type { IndexOf } from "./object-store.ts";
export {
  addFinalizer,
  type ConditionState,
  hasFinalizer,
  isDeleting,
  isTrue,
  kubeTime,
  ownerKeys,
  ownerReferenceTo,
  removeFinalizer,
  withCondition,
} from "./objects.ts";
export { type PodExec, type PodExecEnd, type PodExecOptions, podExec } from "./pod-exec.ts";
export { type RetryOnConflictOptions, retryOnConflict } from "./retry-on-conflict.ts";
export { WorkQueue, type WorkQueueOptions, workQueueDefaults } from "./work-queue.ts";
