// The manifests obey Kubernetes' rules for structural schemas, are the same every time, and can be chosen by kind. That they
// declare what the originals declare is shown by upstream.test.ts; what users see of it is spelled out here.
import { describe, expect, it } from "vitest";
import { crdManifests, type StructuralSchema } from "../src/index.ts";

const byKind = (kind: string) => {
  const manifest = crdManifests({ kinds: [kind] })[0];
  if (!manifest) throw new Error(`no manifest of ${kind}`);
  return manifest;
};
/** Titles as kubectl prints them, NAME put in by the API server; with those of `-o wide` on demand. */
const header = (kind: string, wide = false): string => {
  const columns = byKind(kind).spec.versions[0]?.additionalPrinterColumns ?? [];
  return ["Name", ...columns.filter(({ priority = 0 }) => wide || priority === 0).map(nameOf)]
    .join(" | ")
    .toUpperCase();
};
const nameOf = ({ name }: { name: string }): string => name;

const everyKind = [
  ...crdManifests(),
  ...crdManifests({ kinds: ["VolumeSnapshotBackup", "VolumeSnapshotRestore"] }),
];

describe("columns", () => {
  it.each([
    [
      "DataUpload",
      "NAME | STATUS | STARTED | BYTES DONE | TOTAL BYTES | STORAGE LOCATION | AGE | NODE",
    ],
    [
      "DataDownload",
      "NAME | STATUS | STARTED | BYTES DONE | TOTAL BYTES | STORAGE LOCATION | AGE | NODE",
    ],
    ["BackupStorageLocation", "NAME | PHASE | LAST VALIDATED | AGE | DEFAULT"],
    ["DataProtectionApplication", "NAME | RECONCILED | AGE"],
  ])("of %s", (kind, titles) => {
    expect(header(kind)).toBe(titles);
  });

  it("show incremental bytes after the total with -o wide", () => {
    expect(header("DataUpload", true)).toContain(
      "TOTAL BYTES | INCREMENTAL BYTES | STORAGE LOCATION",
    );
  });
});

describe("status subresource", () => {
  const hasStatus = everyKind
    .filter(({ spec }) => spec.versions[0]?.subresources?.status !== undefined)
    .map(({ spec }) => spec.names.kind);

  it("is there for no kind of velero.io", () => {
    expect(hasStatus.sort()).toEqual([
      "DataProtectionApplication",
      "VolumeSnapshot",
      "VolumeSnapshotBackup",
      "VolumeSnapshotContent",
      "VolumeSnapshotRestore",
    ]);
  });
});

describe("structural schemas", () => {
  /** What Kubernetes would refuse, by path. */
  function faults(node: StructuralSchema, path: string): string[] {
    const found: string[] = [];
    if (node.type === undefined) found.push(`${path} has no type`);
    if (node.properties && node.additionalProperties) {
      found.push(`${path} has properties and additionalProperties`);
    }
    if (node.type === "array" && !node.items) found.push(`${path} has no items`);
    if (node.type !== "array" && node.items) found.push(`${path} has items and is no array`);
    if (node.default === null) found.push(`${path} has the default null`);
    const allowed = new Set([
      ...["description", "type", "format", "pattern", "enum", "nullable", "default", "minimum"],
      ...["properties", "required", "additionalProperties", "items"],
      ...["x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"],
      ...["x-kubernetes-map-type"],
    ]);
    found.push(...Object.keys(node).flatMap((key) => (allowed.has(key) ? [] : `${path}: ${key}`)));
    found.push(
      ...(node.required ?? []).flatMap((name) =>
        node.properties?.[name] ? [] : `${path} requires ${name}, which it does not have`,
      ),
    );
    for (const [name, field] of Object.entries(node.properties ?? {})) {
      found.push(...faults(field, `${path}.${name}`));
    }
    if (node.items) found.push(...faults(node.items, `${path}[]`));
    if (node.additionalProperties) found.push(...faults(node.additionalProperties, `${path}.*`));
    return found;
  }

  it.each(everyKind.map((manifest) => [manifest.spec.names.kind, manifest] as const))(
    "of %s",
    (kind, { spec }) => {
      const root = spec.versions[0]?.schema.openAPIV3Schema ?? {};
      expect(faults(root, kind)).toEqual([]);
      expect(root.type).toBe("object");
      expect(root.description).not.toBe("");
      // the server has its own ideas about these three
      expect(root.properties?.["metadata"]).toEqual({ type: "object" });
      expect(root.properties?.["apiVersion"]).toEqual({ type: "string" });
      expect(root.properties?.["kind"]).toEqual({ type: "string" });
      expect(root.required ?? []).not.toContain("metadata");
      expect(root.properties?.["status"] ?? {}).not.toHaveProperty("nullable");
    },
  );

  it("keep what belongs to others", () => {
    const restore = byKind("Restore").spec.versions[0]?.schema.openAPIV3Schema;
    const containers = ["spec", "hooks", "resources", "postHooks", "init", "initContainers"].reduce(
      (node: StructuralSchema | undefined, name) => (node?.items ?? node)?.properties?.[name],
      restore,
    );
    expect(containers).toEqual({
      type: "array",
      items: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      "x-kubernetes-preserve-unknown-fields": true,
    });
  });
});

describe("crdManifests", () => {
  it("gives the same text every time, and objects that the caller may change", () => {
    const text = JSON.stringify(crdManifests());
    const changed = crdManifests();
    for (const { spec } of changed) {
      spec.names.shortNames?.push("changed");
      spec.versions[0]?.additionalPrinterColumns?.pop();
      delete spec.versions[0]?.schema.openAPIV3Schema.properties;
    }
    expect(JSON.stringify(crdManifests())).toBe(text);
  });

  it("leaves out the VolSync data mover unless it is named", () => {
    const groups = new Set(crdManifests().map(({ spec }) => spec.group));
    expect([...groups].sort()).toEqual([
      "oadp.openshift.io",
      "snapshot.storage.k8s.io",
      "velero.io",
    ]);
    expect(byKind("VolumeSnapshotBackup").spec.group).toBe("datamover.oadp.openshift.io");
  });

  it("makes those that are named only, and refuses names that it does not know", () => {
    const names = crdManifests({ kinds: ["DataDownload", "DataUpload"] }).map(
      ({ metadata }) => metadata.name,
    );
    expect(names).toEqual(["datauploads.velero.io", "datadownloads.velero.io"]);
    expect(crdManifests({ kinds: [] })).toEqual([]);
    expect(() => crdManifests({ kinds: ["dataupload"] })).toThrow(/there are DataUpload, /);
  });

  it("names the approval that groups of Kubernetes need", () => {
    for (const { metadata, spec } of everyKind) {
      const approval = metadata.annotations?.["api-approved.kubernetes.io"];
      if (spec.group.endsWith(".k8s.io")) expect(approval).toMatch(/^https:\/\/github\.com\//);
      else expect(approval).toBeUndefined();
    }
  });
});
