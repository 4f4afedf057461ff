/** Any policy: every field absent, or with any value that is not "unset". */
import type { Policy } from "../src/index.ts";
import { commandFields, type FieldKind, policySections } from "../src/policy/policy-fields.ts";
import { fc } from "./property.ts";

const integer = fc.integer({ min: -5, max: 100_000 });
const text = fc.string({ unit: "grapheme", minLength: 1 });
const valuesOf: Readonly<Record<FieldKind, fc.Arbitrary<unknown> | undefined>> = {
  optionalInteger: integer,
  optionalFlag: fc.boolean(),
  integer: integer.filter((value) => value !== 0),
  flag: fc.constant(true),
  stopUnion: fc.constant(true),
  stopTimes: fc.constant(true),
  text,
  texts: fc.array(text, { minLength: 1, maxLength: 4 }),
  union: fc.array(text, { minLength: 1, maxLength: 4 }),
  times: fc.array(
    fc.record({ hour: fc.integer({ min: 0, max: 23 }), min: fc.integer({ min: 0, max: 59 }) }),
    { minLength: 1, maxLength: 4 },
  ),
  command: undefined,
  ownCommand: undefined,
};

function fieldsOf(table: object): fc.Arbitrary<Record<string, unknown>> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  const nested = new Set<string>();
  for (const [name, kind] of Object.entries(table)) {
    if (typeof kind !== "string") nested.add(name);
    const values = typeof kind === "string" ? valuesOf[kind as FieldKind] : fieldsOf(kind);
    fields[name] = values ?? fieldsOf(commandFields);
  }
  return fc.record(fields, { requiredKeys: [...nested] });
}

export const arbitraryPolicy = fieldsOf(
  policySections,
) as fc.Arbitrary<unknown> as fc.Arbitrary<Policy>;
