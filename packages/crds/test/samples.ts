import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { crdManifests, type KubeObject, type StructuralSchema } from "../src/index.ts";

export const samplesFolder = join(import.meta.dirname, "data/samples");

export interface Sample {
  readonly file: string;
  readonly object: KubeObject & Record<string, unknown>;
}

/** Objects in the form of the documentation's examples, with call-out digits removed and placeholders filled. */
export const samples: readonly Sample[] = readdirSync(samplesFolder)
  .sort()
  .flatMap((file) =>
    parseAllDocuments(readFileSync(join(samplesFolder, file), "utf8")).map((document) => ({
      file,
      object: document.toJS() as Sample["object"],
    })),
  );

export function schemaOf(object: KubeObject): StructuralSchema {
  const [manifest] = crdManifests({ kinds: [object.kind ?? ""] });
  return manifest?.spec.versions[0]?.schema.openAPIV3Schema ?? {};
}

/** What the API server stores: it takes away nulls where none is allowed, before it validates. */
export function withoutNulls(value: unknown, schema: StructuralSchema): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, schema.items ?? {}));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => {
      const field = schema.properties?.[name] ?? schema.additionalProperties;
      if (item === null && field && !field.nullable) return [];
      return [[name, withoutNulls(item, field ?? {})]];
    }),
  );
}

/** Paths in `value` that the schema does not know, and that the API server would therefore drop. */
export function prunedPaths(value: unknown, schema: StructuralSchema, path = ""): string[] {
  if (schema["x-kubernetes-preserve-unknown-fields"]) return [];
  if (Array.isArray(value)) {
    return value.flatMap((item, index) =>
      prunedPaths(item, schema.items ?? {}, `${path}[${index}]`),
    );
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => {
    const field = schema.properties?.[name] ?? schema.additionalProperties;
    const at = `${path}.${name}`;
    if (path === "" && name === "metadata") return [];
    return field ? prunedPaths(item, field, at) : [at];
  });
}
