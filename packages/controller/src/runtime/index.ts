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
export type { KubeConnectionDescription, KubeServer } from "./kube-connection.ts";
export {
  isAlreadyExists,
  isConflict,
  isNotFound,
  isUnavailable,
  retryAfterMsOf,
} from "./kube-errors.ts";
export {
  type NodeKubeClient,
  type NodeKubeClientOptions,
  nodeKubeClient,
  nodeKubeClientDefaults,
  type PodLogOptions,
} from "./node-client.ts";
