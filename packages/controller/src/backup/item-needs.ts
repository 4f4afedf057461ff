/**
 * What objects need beside volumes: the priority class of a pod, the roles of a service account in the whole cluster.
 * Proof: test/backup/run-backup.test.ts.
 * @module
 */
import type { KubeObject, Pod, Resource } from "@dm/crds";
import { resourceName } from "../scope/resource-names.ts";
import type { BackupRun } from "./backup-run.ts";
import { listAll } from "./list-all.ts";

export interface Need {
  readonly resource: Resource;
  readonly object: KubeObject;
}

interface ClusterRoleBinding extends KubeObject {
  readonly roleRef?: { readonly kind?: string; readonly name?: string };
  readonly subjects?: readonly {
    readonly kind?: string;
    readonly name?: string;
    readonly namespace?: string;
  }[];
}

const rbac = "rbac.authorization.k8s.io";
/** Read once in a run. */
const bindingsOf = new WeakMap<BackupRun, Promise<ClusterRoleBinding[]>>();

/** As far as the Backup permits them, and those that are there. */
export async function itemNeeds(
  run: BackupRun,
  resource: Resource,
  object: KubeObject,
): Promise<Need[]> {
  switch (resourceName(resource)) {
    case "pods": {
      const { priorityClassName } = (object as Pod).spec as { priorityClassName?: string };
      return priorityClassName
        ? one(run, "priorityclasses.scheduling.k8s.io", priorityClassName)
        : [];
    }
    case "serviceaccounts":
      return rolesOf(run, object);
    default:
      return [];
  }
}

async function rolesOf(run: BackupRun, { metadata }: KubeObject): Promise<Need[]> {
  const kind = run.find(`clusterrolebindings.${rbac}`);
  if (kind === undefined || !run.scope.permits(kind)) return [];
  let reading = bindingsOf.get(run);
  if (reading === undefined) {
    reading = listAll(run.deps.client, kind, run.options) as Promise<ClusterRoleBinding[]>;
    bindingsOf.set(run, reading);
  }
  const needs: Need[] = [];
  for (const binding of await reading) {
    const isMeant = binding.subjects?.some(
      (subject) =>
        subject.kind === "ServiceAccount" &&
        subject.name === metadata.name &&
        subject.namespace === metadata.namespace,
    );
    if (!isMeant) continue;
    needs.push({ resource: kind, object: binding });
    const { kind: role, name } = binding.roleRef ?? {};
    if (role === "ClusterRole" && name)
      needs.push(...(await one(run, `clusterroles.${rbac}`, name)));
  }
  return needs;
}

async function one(run: BackupRun, resource: string, name: string): Promise<Need[]> {
  const kind = run.find(resource);
  if (kind === undefined || !run.scope.permits(kind)) return [];
  const object = await run.deps.client.get(kind, { name }, run.options);
  return object ? [{ resource: kind, object }] : [];
}
