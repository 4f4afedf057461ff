/**
 * Whether the API server serves the kinds of `snapshot.storage.k8s.io`: they come with CustomResourceDefinitions, at any time.
 * Proof: test/csi/snapshot-controller.test.ts.
 * @module
 */
import type { ClusterApi } from "../cluster-api.ts";
import { resources } from "./storage-names.ts";

export interface SnapshotWatch {
  /** VolumeSnapshots, contents and classes can be read and watched. */
  readonly exists: boolean;
  /** Calls once, now or when they come. Returns the end. */
  whenServed(start: () => void): () => void;
  close(): void;
}

export function watchSnapshotKinds(api: ClusterApi): SnapshotWatch {
  const needed: readonly string[] = [
    resources.snapshots,
    resources.contents,
    resources.snapshotClasses,
  ];
  const served = new Set<string>();
  const starts = new Set<() => void>();
  const exists = (): boolean => needed.every((name) => served.has(name));
  const stop = api.watch(resources.customResources, ({ type, object }) => {
    const { name } = object.metadata;
    if (!needed.includes(name)) return;
    const isEstablished = object.status?.conditions?.some(
      (each: { type: string; status: string }) =>
        each.type === "Established" && each.status === "True",
    );
    if (type === "DELETED" || !isEstablished) served.delete(name);
    else served.add(name);
    if (!exists()) return;
    for (const start of starts) {
      starts.delete(start);
      start();
    }
  });
  return {
    get exists() {
      return exists();
    },
    whenServed(start) {
      if (exists()) start();
      else starts.add(start);
      return () => starts.delete(start);
    },
    close: stop,
  };
}
