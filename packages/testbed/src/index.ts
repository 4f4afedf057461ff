export type {
  ClusterApi,
  ClusterDeleteOptions,
  ClusterEvent,
  ClusterWriteOptions,
} from "./cluster-api.ts";
export type { Json, NewObject, ObjectMeta, StoredObject } from "./kube-object.ts";
