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
