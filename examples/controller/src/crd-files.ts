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

/** Name and text of every file of `manifests/crds`. Kinds that come with clusters or with OADP are not among them. */
export function crdFiles(): ReadonlyMap<string, string> {
  const ours = crdManifests().filter(({ spec }) => spec.group === "velero.io");
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

if (import.meta.main) {
  const folder = join(manifestFolder, "crds");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const [name, text] of crdFiles()) writeFileSync(join(folder, name), text);
}
