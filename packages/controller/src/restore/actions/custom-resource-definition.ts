/**
 * Custom resource definitions: v1 says in the schema of each version that unknown fields are kept, v1beta1 said it once for all.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Action } from "./action.ts";

interface DefinitionSpec {
  readonly preserveUnknownFields?: boolean;
  readonly versions?: readonly {
    readonly schema?: { readonly openAPIV3Schema?: Readonly<Record<string, unknown>> };
  }[];
}

export const restoreDefinition: Action = (object) => {
  const spec = object["spec"] as DefinitionSpec | undefined;
  if (object.apiVersion !== "apiextensions.k8s.io/v1" || spec?.preserveUnknownFields !== true)
    return object;
  const versions = (spec.versions ?? []).map((version) => {
    const schema = version.schema?.openAPIV3Schema;
    if (schema === undefined) return version;
    const open = { ...schema, "x-kubernetes-preserve-unknown-fields": true };
    return { ...version, schema: { ...version.schema, openAPIV3Schema: open } };
  });
  return { ...object, spec: { ...spec, preserveUnknownFields: false, versions } };
};
