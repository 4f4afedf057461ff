/**
 * OpenAPI v3: an index and a document for each group-version. kubectl looks there whether `fieldValidation` may be sent, and
 * `explain` prints the schemas. Custom kinds have theirs from the CRD; built-in kinds a short one.
 * Proof: test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { Json } from "../kube-object.ts";
import type { ApiKind, ApiVersion } from "./api-kind.ts";
import { builtInSchemas } from "./built-in-schemas.ts";
import { groupVersions } from "./discovery.ts";
import { isObject } from "./json.ts";
import type { Registry } from "./registry.ts";

export interface OpenApi {
  /** `/openapi/v3`. */
  readonly index: string;
  /** By `api/v1`, `apis/GROUP/VERSION`. */
  readonly documents: ReadonlyMap<string, string>;
}

const metaName = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

export function openApi(registry: Registry): OpenApi {
  const documents = new Map<string, string>();
  const paths: Record<string, Json> = {};
  for (const { group, version, kinds } of groupVersions(registry)) {
    const path = group === "" ? `api/${version}` : `apis/${group}/${version}`;
    const text = JSON.stringify(document(path, kinds));
    documents.set(path, text);
    const hash = createHash("sha256").update(text).digest("hex").toUpperCase();
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { index: JSON.stringify({ paths }), documents };
}

type Kinds = readonly { readonly kind: ApiKind; readonly version: ApiVersion }[];

function document(path: string, kinds: Kinds): Json {
  const paths: Record<string, Json> = {};
  const schemas: Record<string, Json> = { [metaName]: objectMetaSchema };
  for (const { kind, version } of kinds) {
    const gvk = { group: kind.group, version: version.name, kind: kind.kind };
    const scope = kind.namespaced ? "namespaces/{namespace}/" : "";
    const schemaName = `${kind.group.split(".").reverse().join(".") || "io.k8s.api.core"}.${version.name}.${kind.kind}`;
    paths[`/${path}/${scope}${kind.plural}/{name}`] = {
      patch: {
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": gvk,
        parameters: ["dryRun", "fieldManager", "fieldValidation", "force"].map((name) => ({
          name,
          in: "query",
          schema: { type: name === "force" ? "boolean" : "string", uniqueItems: true },
        })),
        responses: {
          "200": {
            description: "OK",
            content: {
              "application/json": { schema: { $ref: `#/components/schemas/${schemaName}` } },
            },
          },
        },
      },
    };
    schemas[schemaName] = kindSchema(kind, version, gvk);
  }
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.33.1" },
    paths,
    components: { schemas },
  };
}

function kindSchema(kind: ApiKind, version: ApiVersion, gvk: Json): Json {
  const own = kind.custom ? version.schema : builtInSchemas[`${version.apiVersion}/${kind.kind}`];
  const schema = isObject(own) ? (withoutExtensions(own) as Record<string, Json>) : {};
  return {
    type: "object",
    ...schema,
    properties: {
      ...schema["properties"],
      apiVersion: { type: "string", description: apiVersionText },
      kind: { type: "string", description: kindText },
      metadata: {
        description: "Standard object's metadata.",
        default: {},
        allOf: [{ $ref: `#/components/schemas/${metaName}` }],
      },
    },
    "x-kubernetes-group-version-kind": [gvk],
  };
}

/** Rules and hints that readers of the schema have no use for. */
function withoutExtensions(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(withoutExtensions);
  if (!isObject(schema)) return schema;
  const result: Record<string, Json> = {};
  for (const [name, value] of Object.entries(schema)) {
    if (name !== "x-kubernetes-validations") result[name] = withoutExtensions(value);
  }
  return result;
}

const apiVersionText = "APIVersion names the version of the schema that this object is written in.";
const kindText = "Kind names the REST resource that this object stands for. In CamelCase.";

const text = (description: string): Json => ({ type: "string", description });
const texts = (description: string): Json => ({
  type: "object",
  additionalProperties: { type: "string", default: "" },
  description,
});

const objectMetaSchema: Json = {
  type: "object",
  description: "Metadata that all stored objects have.",
  properties: {
    annotations: texts("Unstructured texts that tools keep with the object."),
    creationTimestamp: text("When the server stored the object."),
    deletionGracePeriodSeconds: { type: "integer", description: "Seconds given to stop." },
    deletionTimestamp: text("When the object is to be gone."),
    finalizers: {
      type: "array",
      items: { type: "string", default: "" },
      description: "Must be empty before the object goes.",
    },
    generateName: text("Prefix of a name that the server completes."),
    generation: { type: "integer", description: "Counts changes of the desired state." },
    labels: texts("Texts by which objects are selected."),
    managedFields: {
      type: "array",
      items: { type: "object" },
      description: "Which manager set which field.",
    },
    name: text("Unique within the namespace."),
    namespace: text("The space in which the name is unique."),
    ownerReferences: {
      type: "array",
      items: { type: "object" },
      description: "Objects that this one depends on.",
    },
    resourceVersion: text("Changes with every write."),
    uid: text("Unique in time and space."),
  },
};
