/**
 * The custom resource definitions as files of the manifests, from the schemas of `@dm/crds`. `npm run crds` writes them.
 * Proof: test/manifests.test.ts.
 * @module
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crdManifests } from "@dm/crds";
import { stringify } from "yaml";
import { manifestFolder } from "./manifests.ts";

/** Folders of the manifests with custom resource definitions, and the group of each. Kinds that come with clusters have none. */
export const crdFolders: Readonly<Record<string, string>> = {
  crds: "velero.io",
  "operator/crds": "oadp.openshift.io",
};

/** Name and text of every file of a folder. */
export function crdFiles(group: string): ReadonlyMap<string, string> {
  const ours = crdManifests().filter(({ spec }) => spec.group === group);
  const files = new Map(
    ours.map((crd) => [
      `${crd.metadata.name}.yaml`,
      stringify(crd, { aliasDuplicateObjects: false }),
    ]),
  );
  const names = [...files.keys()].map((name) => `  - ${name}\n`).join("");
  const head = "# Written by `npm run crds` from the schemas of @dm/crds.\n";
  return files.set(
    "kustomization.yaml",
    `${head}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n${names}`,
  );
}

if (import.meta.main)
  for (const [name, group] of Object.entries(crdFolders)) {
    const folder = join(manifestFolder, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [file, text] of crdFiles(group)) writeFileSync(join(folder, file), text);
  }
