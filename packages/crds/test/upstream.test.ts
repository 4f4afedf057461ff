// The manifests declare what those of Velero, OADP, the snapshot controller and the VolSync data mover declare, field by field
// (data/upstream-crds.json says from which commits).
import { describe, expect, it } from "vitest";
import { crdManifests, customKinds } from "../src/index.ts";
import upstream from "./data/upstream-crds.json" with { type: "json" };
import { flatFields } from "./flat-fields.ts";

const kinds = Object.entries(upstream.kinds);

describe("agreement with the originals", () => {
  it("covers every kind on both sides", () => {
    expect(kinds.map(([kind]) => kind).sort()).toEqual(
      customKinds.map(({ resource }) => resource.kind).sort(),
    );
  });

  it.each(kinds)("%s", (kind, original) => {
    const [{ metadata, spec }] = crdManifests({ kinds: [kind] }) as never as [
      ReturnType<typeof crdManifests>[number],
    ];
    const [version] = spec.versions;
    expect(metadata.name).toBe(`${original.plural}.${original.group}`);
    expect(flatFields(version?.schema.openAPIV3Schema ?? {})).toEqual([...original.fields].sort());
    expect({
      group: spec.group,
      version: version?.name,
      scope: spec.scope,
      plural: spec.names.plural,
      singular: spec.names.singular,
      listKind: spec.names.listKind,
      shortNames: spec.names.shortNames ?? [],
      statusSubresource: version?.subresources?.status !== undefined,
      columns: (version?.additionalPrinterColumns ?? []).map(
        ({ name, type, format, jsonPath, priority = 0 }) =>
          [name, format === undefined ? type : `${type}/${format}`, jsonPath, priority].join(" | "),
      ),
    }).toEqual({
      group: original.group,
      version: original.version,
      scope: original.scope,
      plural: original.plural,
      singular: original.singular,
      listKind: original.listKind,
      shortNames: original.shortNames,
      statusSubresource: original.statusSubresource,
      columns: original.columns,
    });
  });
});
