// Objects of Velero 1.12 to main, of versions to come, and made-up ones with foreign fields at every level pass the schemas
// unchanged: nothing is dropped, filled in or altered.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { customKindOf, customKinds } from "../src/index.ts";
import objects from "./data/velero-objects.json" with { type: "json" };

describe.each(["main", "1.12", "newer"] as const)("objects of Velero %s", (version) => {
  it.each(objects[version].map((object) => [object.kind, object.metadata.name, object] as const))(
    "%s %s",
    (_kind, _name, object) => {
      const schema = customKindOf(object)?.schema;
      expect(schema?.parse(object)).toEqual(object);
      expect(JSON.stringify(sorted(schema?.parse(object)))).toBe(JSON.stringify(sorted(object)));
    },
  );
});

/** With the fields of every object in order: what `toEqual` would overlook, undefined values, shows in the text. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, item === undefined ? "undefined" : sorted(item)]),
  );
}

interface Json {
  type?: string;
  enum?: unknown[];
  nullable?: boolean;
  properties?: Record<string, Json>;
  required?: string[];
  additionalProperties?: Json | boolean;
  items?: Json;
  minimum?: number;
}

/** Values that a schema allows, with foreign fields in every object that has named ones. */
function valuesOf(schema: Json): fc.Arbitrary<unknown> {
  const value = ((): fc.Arbitrary<unknown> => {
    if (schema.enum) return fc.constantFrom(...schema.enum);
    switch (schema.type) {
      case "string":
        return fc.string({ maxLength: 8 });
      case "boolean":
        return fc.boolean();
      case "integer":
        return fc.integer({ min: schema.minimum === 0 ? 0 : -(2 ** 40), max: 2 ** 40 });
      case "array":
        return fc.array(valuesOf(schema.items ?? {}), { maxLength: 2 });
      case "object":
        return schema.properties ? objectsOf(schema) : mapsOf(schema);
      default:
        return fc.jsonValue({ maxDepth: 2 });
    }
  })();
  return schema.nullable ? fc.option(value, { freq: 4 }) : value;
}

function mapsOf({ additionalProperties }: Json): fc.Arbitrary<unknown> {
  const values =
    typeof additionalProperties === "object"
      ? valuesOf(additionalProperties)
      : fc.jsonValue({ maxDepth: 1 });
  return fc.dictionary(fc.stringMatching(/^[a-z.]{1,6}$/), values, { maxKeys: 2 });
}

function objectsOf({ properties = {}, required = [] }: Json): fc.Arbitrary<unknown> {
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, field]) => [name, valuesOf(field)]),
  );
  const foreign = fc.dictionary(
    fc.stringMatching(/^x[A-Z][a-z]{2}$/),
    fc.jsonValue({ maxDepth: 1 }),
    { maxKeys: 1 },
  );
  return fc
    .tuple(fc.record(fields, { requiredKeys: required }), foreign)
    .map(([known, unknown]) => ({ ...known, ...unknown }));
}

describe("made-up objects", () => {
  it.each(customKinds.map((kind) => [kind.resource.kind, kind] as const))("%s", (_name, kind) => {
    const json = z.toJSONSchema(kind.schema, { target: "openapi-3.0", io: "input" }) as Json;
    fc.assert(
      fc.property(valuesOf(json), (object) => {
        const read = kind.schema.parse(object);
        expect(JSON.stringify(sorted(read))).toBe(JSON.stringify(sorted(object)));
      }),
      { numRuns: process.env["DM_FULL"] === "1" ? 1000 : 20 },
    );
  });
});
