// Objects in the form of the documentation's examples satisfy the schemas once the API server took away the nulls that call-out
// digits leave, pass them unchanged, and lose nothing to pruning.

import { parseGoDuration } from "@dm/core";
import { describe, expect, it } from "vitest";
import { checkObject, customKindOf, parseQuantity } from "../src/index.ts";
import { prunedPaths, samples, schemaOf, withoutNulls } from "./samples.ts";

describe.each(samples.map((sample) => [sample.file, sample.object.kind, sample] as const))(
  "%s: %s",
  (_file, _kind, { object }) => {
    const kind = customKindOf(object);
    const stored = withoutNulls(object, schemaOf(object));

    it("is valid and comes out as it went in", () => {
      if (!kind) throw new Error(`no custom kind for ${object.apiVersion} ${object.kind}`);
      expect(checkObject(kind.resource, stored)).toBe(stored);
      expect(kind.schema.parse(stored)).toEqual(stored);
    });

    it("has no field that the API server drops", () => {
      expect(prunedPaths(object, schemaOf(object))).toEqual([]);
    });
  },
);

describe("the samples", () => {
  it("hold the five kinds that users write or read", () => {
    const kinds = new Set(samples.map(({ object }) => object.kind));
    for (const kind of [
      "DataProtectionApplication",
      "Backup",
      "Restore",
      "DataUpload",
      "DataDownload",
    ]) {
      expect(kinds).toContain(kind);
    }
  });

  it("hold durations and sizes that can be read", () => {
    const durations: string[] = [];
    const sizes: string[] = [];
    JSON.stringify(samples, (name, value: unknown) => {
      if (/(?:Timeout|timeout|Period|ttl|Frequency)$/.test(name)) durations.push(String(value));
      if (/^memory/.test(name)) sizes.push(String(value));
      return value;
    });
    expect(durations.length).toBeGreaterThan(10);
    expect(
      durations.filter((text) => !/^\d+$/.test(text) && parseGoDuration(text) === undefined),
    ).toEqual([]);
    expect(sizes.length).toBeGreaterThan(3);
    expect(sizes.filter((text) => parseQuantity(text) === undefined)).toEqual([]);
  });

  it("would be noticed if a field were misspelt", () => {
    const restore = samples.find(({ object }) => object.kind === "Restore")?.object;
    const misspelt = { ...restore, spec: { backupname: "backup" } };
    expect(prunedPaths(misspelt, schemaOf(misspelt as never))).toEqual([".spec.backupname"]);
  });
});
