/**
 * Reads kustomizations as far as those of this folder go: resources, and the namespace that all of them get.
 * Proof: test/manifests.test.ts.
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { KubeObject } from "@dm/crds";
import { parse, parseAllDocuments } from "yaml";

interface Kustomization {
  readonly kind: string;
  readonly namespace?: string;
  readonly resources?: readonly string[];
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  namespace?: string;
}

/** Where the manifests are, beside the sources and beside the built program. */
export const manifestFolder: string = join(dirname(fileURLToPath(import.meta.url)), "../manifests");

const withoutNamespace = new Set([
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "PriorityClass",
  "StorageClass",
  "VolumeSnapshotClass",
]);
const known = new Set(["apiVersion", "kind", "namespace", "resources"]);

/** All objects, in the order in which they are to be applied; `folder` is below {@link manifestFolder}. */
export function readManifests(folder: string, namespace?: string): KubeObject[] {
  const objects = readFolder(join(manifestFolder, folder));
  return namespace === undefined ? objects : inNamespace(objects, namespace);
}

function readFolder(folder: string): KubeObject[] {
  const file = join(folder, "kustomization.yaml");
  const kustomization = parse(readFileSync(file, "utf8")) as Kustomization;
  for (const key of Object.keys(kustomization))
    if (!known.has(key)) throw new Error(`${file}: "${key}" is more than is read here`);
  const objects = (kustomization.resources ?? []).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? readFolder(path) : readFile(path);
  });
  return kustomization.namespace ? inNamespace(objects, kustomization.namespace) : objects;
}

function readFile(path: string): KubeObject[] {
  return parseAllDocuments(readFileSync(path, "utf8"))
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}

/** As the transformer of kustomize does it: subjects follow where the account that they name is among the objects. */
function inNamespace(objects: readonly KubeObject[], namespace: string): KubeObject[] {
  const accounts = new Set(
    objects.filter(({ kind }) => kind === "ServiceAccount").map(({ metadata }) => metadata.name),
  );
  return objects.map((object) => {
    const { kind = "", metadata } = object;
    const changed = structuredClone(object) as KubeObject & { subjects?: Subject[] };
    for (const subject of changed.subjects ?? [])
      if (accounts.has(subject.name)) subject.namespace = namespace;
    if (kind === "Namespace") changed.metadata = { ...metadata, name: namespace };
    else if (!withoutNamespace.has(kind)) changed.metadata = { ...metadata, namespace };
    return changed;
  });
}
