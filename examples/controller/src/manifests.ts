/**
 * Reads kustomizations as far as those of this folder go: resources, components, JSON patches, and the namespace that all of them
 * get.
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
  readonly components?: readonly string[];
  readonly patches?: readonly {
    readonly path: string;
    readonly target: { readonly kind: string; readonly name: string };
  }[];
}

/** Of RFC 6902 what is needed here. */
interface Operation {
  readonly op: "add" | "replace";
  readonly path: string;
  readonly value: unknown;
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
const known = new Set(["apiVersion", "components", "kind", "namespace", "patches", "resources"]);

/** All objects, in the order in which they are to be applied; `folder` is below {@link manifestFolder}. */
export function readManifests(folder: string, namespace?: string): KubeObject[] {
  const objects = readFolder(join(manifestFolder, folder));
  return namespace === undefined ? objects : inNamespace(objects, namespace);
}

function readFolder(folder: string, before: readonly KubeObject[] = []): KubeObject[] {
  const file = join(folder, "kustomization.yaml");
  const kustomization = parse(readFileSync(file, "utf8")) as Kustomization;
  for (const key of Object.keys(kustomization))
    if (!known.has(key)) throw new Error(`${file}: "${key}" is more than is read here`);
  const own = (kustomization.resources ?? []).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? readFolder(path) : readFile(path);
  });
  let objects = [...before, ...own];
  // A component changes what was there before it.
  for (const name of kustomization.components ?? [])
    objects = readFolder(join(folder, name), objects);
  for (const { path, target } of kustomization.patches ?? []) {
    const operations = parse(readFileSync(join(folder, path), "utf8")) as readonly Operation[];
    objects = objects.map((object) =>
      object.kind === target.kind && object.metadata.name === target.name
        ? patched(object, operations)
        : object,
    );
  }
  return kustomization.namespace ? inNamespace(objects, kustomization.namespace) : objects;
}

function patched(object: KubeObject, operations: readonly Operation[]): KubeObject {
  const changed = structuredClone(object);
  for (const { op, path, value } of operations) {
    const names = path.split("/").slice(1);
    const last = names.pop() ?? "";
    let at = changed as unknown as Record<string, unknown>;
    for (const name of names) {
      const next = at[name];
      if (typeof next !== "object" || next === null) throw new Error(`there is no ${path}`);
      at = next as Record<string, unknown>;
    }
    if (Array.isArray(at) && last === "-" && op === "add") at.push(value);
    else if (!Array.isArray(at)) at[last] = value;
    else throw new Error(`${op} of ${path} is more than is done here`);
  }
  return changed;
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
