/** The manifests say the same to our reader and to kubectl's kustomize; accounts have no more rights than they may. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "@dm/crds";
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { crdFiles, crdFolders } from "../src/crd-files.ts";
import { manifestFolder, readManifests } from "../src/manifests.ts";

const kubectl = requirePeer("kubectl");
const folders = [
  "base",
  "overlays/openshift",
  "overlays/beside-velero",
  "overlays/data-mover",
  "overlays/fs-backup",
  "overlays/operator",
  "overlays/operator-openshift",
];

interface Any {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const nameOf = ({ kind, metadata }: Any): string =>
  `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
const byName = (objects: readonly unknown[]): Record<string, unknown> =>
  Object.fromEntries((objects as Any[]).map((object) => [nameOf(object), object]));

describe.skipIf(!kubectl.available)(kubectl.title("kustomize of kubectl"), () => {
  it.each(folders)("%s", (folder) => {
    const text = execFileSync("kubectl", ["kustomize", join(manifestFolder, folder)], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    const theirs = parseAllDocuments(text).map((document) => document.toJS());
    expect(byName(readManifests(folder))).toEqual(byName(theirs));
  });
});

it.each([
  ["base", "dm-system"],
  ["overlays/openshift", "openshift-adp"],
  ["overlays/beside-velero", "velero"],
  ["overlays/data-mover", "dm-system"],
  ["overlays/fs-backup", "dm-system"],
  ["overlays/operator", "openshift-adp"],
  ["overlays/operator-openshift", "openshift-adp"],
])("everything of %s is in one namespace", (folder, namespace) => {
  const text = JSON.stringify(readManifests(folder));
  const named = [...text.matchAll(/"namespace":"([^"]+)"/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(10);
  expect(new Set(named)).toEqual(new Set([namespace]));
});

interface Rule {
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}
const rulesOf = (object: KubeObject): readonly Rule[] =>
  (object as { rules?: readonly Rule[] }).rules ?? [];

it("nobody may do everything; every kind is in the hands of backups and restores alone", () => {
  const objects = readManifests("base");
  expect(objects.flatMap(rulesOf).length).toBeGreaterThan(10);
  for (const object of objects)
    for (const { resources, verbs } of rulesOf(object)) {
      expect(verbs).not.toContain("*");
      if (object.metadata.name !== "dm-backup-restore") expect(resources).not.toContain("*");
    }
});

it.each(["overlays/data-mover", "overlays/beside-velero"])(
  "%s has no right on all kinds, and its server no Backups",
  (folder) => {
    const objects = readManifests(folder);
    expect(objects.flatMap(rulesOf).flatMap(({ resources }) => resources)).not.toContain("*");
    expect(JSON.stringify(objects)).toContain("--disable-controllers=backup,");
  },
);

it("paths of the host are there only with backup of volumes by their files", () => {
  const withPaths = folders.filter((folder) =>
    readManifests(folder)
      .filter(({ kind }) => kind === "DaemonSet" || kind === "Deployment")
      .some((object) => JSON.stringify(object).includes("hostPath")),
  );
  expect(withPaths).toEqual(["overlays/fs-backup"]);
});

const rightsOf = (name: string): Record<string, string[]> =>
  Object.fromEntries(
    readManifests("base")
      .filter(({ kind, metadata }) => kind === "Role" && metadata.name === name)
      .flatMap(
        (role) => (role as unknown as { rules: { verbs: string[]; resources: string[] }[] }).rules,
      )
      .flatMap(({ resources, verbs }) => resources.map((resource) => [resource, verbs])),
  );

it("a mover changes nothing but Events, and makes nothing but a repository's object", () => {
  expect(rightsOf("dm-mover")).toEqual({
    datauploads: ["get", "watch"],
    datadownloads: ["get", "watch"],
    backuprepositories: ["list", "create"],
    backupstoragelocations: ["get"],
    secrets: ["get"],
    events: ["create", "patch"],
  });
});

it("a node agent can look for one of Velero's, as --take-over-velero does", () => {
  expect(rightsOf("dm-node-agent")["daemonsets"]).toEqual(["get", "list"]);
});

it.each(Object.entries(crdFolders))(
  "the custom resources in %s are what the schemas say",
  (name, group) => {
    const folder = join(manifestFolder, name);
    const files = crdFiles(group);
    expect(readdirSync(folder).sort()).toEqual([...files.keys()].sort());
    for (const [file, text] of files)
      expect(readFileSync(join(folder, file), "utf8"), file).toBe(text);
  },
);
