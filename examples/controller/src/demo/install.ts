/**
 * Applies manifests: what is missing is made, what is there is left or brought up to date.
 * Proof: test/install.test.ts.
 * @module
 */
import type { KubeClient } from "@dm/controller/runtime";
import { isDmError } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import type { Stage } from "./stage.ts";
import { until } from "./stage.ts";

const withoutNamespace =
  /^(ClusterRole|ClusterRoleBinding|CSIDriver|CustomResourceDefinition|Namespace|Node|PersistentVolume|PriorityClass|SecurityContextConstraints|StorageClass|VolumeSnapshotClass|VolumeSnapshotContent)$/;

/** Where the API serves the kind of an object, by the rules that all kinds here follow. */
export function resourceOf({ apiVersion = "", kind = "" }: KubeObject): Resource {
  const slash = apiVersion.indexOf("/");
  const plural = kind
    .toLowerCase()
    .replace(/y$/, "ie")
    .replace(/(ss|x|ch)$/, "$1e");
  return {
    group: slash < 0 ? "" : apiVersion.slice(0, slash),
    version: apiVersion.slice(slash + 1),
    kind,
    plural: plural.endsWith("constraints") ? plural : `${plural}s`,
    namespaced: !withoutNamespace.test(kind),
  };
}

/** Applies in order; a custom resource definition is waited for until its kind is served. */
export async function applyObjects(
  client: KubeClient,
  objects: readonly KubeObject[],
  waiting: Pick<Stage, "signal">,
): Promise<void> {
  for (const object of objects) {
    await applyObject(client, object);
    if (object.kind === "CustomResourceDefinition") await untilServed(client, object, waiting);
  }
}

async function applyObject(client: KubeClient, object: KubeObject): Promise<void> {
  const resource = resourceOf(object);
  const { name = "", namespace } = object.metadata;
  try {
    await client.create(resource, object);
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
    await client.patch(resource, { name, namespace }, object);
  }
}

interface Definition extends KubeObject {
  readonly status?: { readonly conditions?: readonly { type: string; status: string }[] };
}

async function untilServed(
  client: KubeClient,
  definition: KubeObject,
  waiting: Pick<Stage, "signal">,
): Promise<void> {
  const { name = "" } = definition.metadata;
  await until(`${name} to be served`, waiting, async () => {
    const found = (await client.get(resourceOf(definition), { name })) as Definition | undefined;
    const established = found?.status?.conditions?.some(
      ({ status, type }) => type === "Established" && status === "True",
    );
    return established || undefined;
  });
}
