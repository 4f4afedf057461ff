/**
 * CustomResourceDefinitions, made from the schemas. What they must be: structural (a type on every node), with the columns, short
 * names, required fields, enums and formats of the originals, and no status subresource where the originals have none.
 * Proof: test/manifests.test.ts, test/upstream.test.ts.
 * @module
 */
import { z } from "zod";
import type { CustomKind, PrinterColumn } from "./custom-kind.ts";
import { customKinds } from "./kinds.ts";
import type { KubeObject, Resource } from "./kube-object.ts";

/** A node of a structural schema of Kubernetes, as far as the kinds here need it. */
export interface StructuralSchema {
  description?: string;
  type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  format?: string;
  pattern?: string;
  enum?: unknown[];
  nullable?: boolean;
  default?: unknown;
  minimum?: number;
  properties?: Record<string, StructuralSchema>;
  required?: string[];
  additionalProperties?: StructuralSchema;
  items?: StructuralSchema;
  "x-kubernetes-preserve-unknown-fields"?: true;
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-map-type"?: "atomic" | "granular";
  "x-kubernetes-list-type"?: "atomic" | "set" | "map";
}

/** apiextensions.k8s.io/v1. */
export interface CustomResourceDefinition extends KubeObject {
  apiVersion: "apiextensions.k8s.io/v1";
  kind: "CustomResourceDefinition";
  metadata: { name: string; annotations?: Record<string, string> };
  spec: {
    group: string;
    names: {
      kind: string;
      listKind: string;
      plural: string;
      singular: string;
      shortNames?: string[];
    };
    scope: "Namespaced" | "Cluster";
    versions: {
      name: string;
      served: boolean;
      storage: boolean;
      schema: { openAPIV3Schema: StructuralSchema };
      subresources?: { status?: Record<string, never> };
      additionalPrinterColumns?: PrinterColumn[];
    }[];
  };
}

export const customResourceDefinitions: Resource<CustomResourceDefinition> = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  namespaced: false,
};

export interface CrdManifestsOptions {
  /**
   * Names of kinds, such as `["DataUpload", "DataDownload"]`; without it those of Velero, OADP and the snapshot API. The kinds of
   * the VolSync data mover are made by name only: no cluster needs them installed to recognise its old backups.
   */
  readonly kinds?: readonly string[] | undefined;
}

const volSyncGroup = "datamover.oadp.openshift.io";

/**
 * The manifests, the same text every time.
 * @throws {RangeError} when there is no such kind.
 * @example for (const crd of crdManifests({ kinds: ["DataUpload"] })) console.log(JSON.stringify(crd));
 */
export function crdManifests({ kinds }: CrdManifestsOptions = {}): CustomResourceDefinition[] {
  const unknown = kinds?.find(
    (name) => !customKinds.some(({ resource }) => resource.kind === name),
  );
  if (unknown !== undefined) {
    const known = customKinds.map(({ resource }) => resource.kind).join(", ");
    throw new RangeError(`no custom kind ${unknown}; there are ${known}`);
  }
  return customKinds
    .filter(({ resource }) =>
      kinds === undefined ? resource.group !== volSyncGroup : kinds.includes(resource.kind),
    )
    .map(crdManifest);
}

function crdManifest(kind: CustomKind): CustomResourceDefinition {
  const { resource, singular, shortNames, columns, statusSubresource, approvedBy } = kind;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${resource.plural}.${resource.group}`,
      ...(approvedBy && { annotations: { "api-approved.kubernetes.io": approvedBy } }),
    },
    spec: {
      group: resource.group,
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular,
        ...(shortNames && { shortNames: [...shortNames] }),
      },
      scope: resource.namespaced ? "Namespaced" : "Cluster",
      versions: [
        {
          name: resource.version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: structuralSchema(kind) },
          ...(statusSubresource && { subresources: { status: {} } }),
          ...(columns && { additionalPrinterColumns: columns.map((column) => ({ ...column })) }),
        },
      ],
    },
  };
}

function structuralSchema({ schema, description, specOptional }: CustomKind): StructuralSchema {
  const whole = nodeOf(
    z.toJSONSchema(schema, { target: "openapi-3.0", io: "input" }) as JsonSchema,
  );
  const properties: Record<string, StructuralSchema> = {
    ...whole.properties,
    apiVersion: { type: "string" },
    kind: { type: "string" },
    metadata: { type: "object" },
  };
  const required = (whole.required ?? []).filter(
    (name) => name !== "metadata" && !(specOptional && name === "spec"),
  );
  return {
    description,
    type: "object",
    properties: sorted(properties),
    ...(required.length > 0 && { required }),
  };
}

type JsonSchema = Omit<StructuralSchema, "properties" | "additionalProperties" | "items"> & {
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  items?: JsonSchema;
  maximum?: number;
};

/** What zod says of a schema, with what the rules of structural schemas forbid or the originals do not have left out. */
function nodeOf(from: JsonSchema): StructuralSchema {
  const node: StructuralSchema = {};
  const preserve = from["x-kubernetes-preserve-unknown-fields"];
  if (from.description !== undefined) node.description = from.description;
  if (from.type !== undefined) node.type = from.type;
  if (from.format !== undefined) node.format = from.format;
  if (from.pattern !== undefined) node.pattern = from.pattern;
  // an enum that may be null names null in zod's words, and by "nullable" in those of Kubernetes
  if (from.enum !== undefined) node.enum = from.enum.filter((value) => value !== null);
  if (from.nullable) node.nullable = true;
  if (from.default !== undefined) node.default = from.default;
  // zod bounds every integer by what a double holds exactly
  if (from.minimum !== undefined && from.minimum !== Number.MIN_SAFE_INTEGER) {
    node.minimum = from.minimum;
  }
  if (from.properties !== undefined) {
    node.properties = sorted(
      Object.fromEntries(Object.entries(from.properties).map(([name, it]) => [name, nodeOf(it)])),
    );
    if (from.required !== undefined) node.required = [...from.required].sort();
  } else if (typeof from.additionalProperties === "object" && !preserve) {
    node.additionalProperties = nodeOf(from.additionalProperties);
  }
  if (from.items !== undefined) node.items = nodeOf(from.items);
  if (preserve) node["x-kubernetes-preserve-unknown-fields"] = true;
  if (from["x-kubernetes-int-or-string"]) node["x-kubernetes-int-or-string"] = true;
  if (from["x-kubernetes-map-type"]) node["x-kubernetes-map-type"] = from["x-kubernetes-map-type"];
  return node;
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
