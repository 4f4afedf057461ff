/**
 * Namespaces that a restore needs: made on demand, with labels and annotations of the backup, each looked at once per pass.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { type Namespace, namespaces, type Restore } from "@dm/crds";
import type { BackupItem } from "../bucket/backup-files.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isAlreadyExists } from "../runtime/kube-errors.ts";
import { isDeleting } from "../runtime/objects.ts";
import type { AnyObject } from "./actions/action.ts";
import { isMadeBy, withRestoreLabels } from "./existing.ts";

/** `waiting`: the old one is on its way out. */
export type NamespaceState = "there" | "made" | "waiting";

export interface Namespaces {
  /** `source` is its name in the backup. */
  ensure(name: string, source: string): Promise<NamespaceState>;
  /** Names of those that this Restore has made. */
  made(): readonly string[];
}

export function restoredNamespaces(
  client: KubeClient,
  restore: Restore,
  items: readonly BackupItem[],
  options: KubeCallOptions,
): Namespaces {
  const known = new Map<string, Promise<NamespaceState>>();
  const made = new Set<string>();
  const ensure = async (name: string, source: string): Promise<NamespaceState> => {
    const found = await client.get(namespaces, { name }, options);
    if (found && isLeaving(found)) return "waiting";
    if (found) return isMadeBy(restore, found as unknown as AnyObject) ? "made" : "there";
    try {
      await client.create(namespaces, namespaceAs(name, source, restore, items), options);
      return "made";
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      return "there";
    }
  };
  return {
    ensure(name, source) {
      const before = known.get(name);
      if (before) return before;
      const state = ensure(name, source).then((one) => {
        if (one === "made") made.add(name);
        return one;
      });
      known.set(name, state);
      return state;
    },
    made: () => [...made],
  };
}

const isLeaving = (namespace: Namespace): boolean =>
  isDeleting(namespace) || namespace.status?.phase === "Terminating";

function namespaceAs(
  name: string,
  source: string,
  restore: Restore,
  items: readonly BackupItem[],
): Namespace {
  const found = items.find(
    ({ object, resource }) => resource === "namespaces" && object.metadata.name === source,
  );
  const { annotations, labels } = found?.object.metadata ?? {};
  const { "kubernetes.io/metadata.name": _own, ...ownLabels } = labels ?? {};
  const namespace: AnyObject = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: ownLabels, ...(annotations && { annotations }) },
  };
  return withRestoreLabels(namespace, restore) as unknown as Namespace;
}
