/**
 * Objects in the form that the client asked for: as they are, as rows of a `Table`, or with their metadata only.
 * Proof: test/api-server/table.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { ageOf } from "./age.ts";
import { type ApiKind, type ApiVersion, type PrinterColumn, resourceOf } from "./api-kind.ts";
import { objectText } from "./api-request.ts";
import { parseJsonPath } from "./json-path.ts";
import { type Printer, printers } from "./printers.ts";

export interface Rendering {
  /** One object, also of a watch. */
  one(object: StoredObject): string;
  list(objects: readonly StoredObject[], metadata: Json): string;
}

export interface RenderingOptions {
  readonly kind: ApiKind;
  readonly version: ApiVersion;
  readonly accept: string;
  readonly query: URLSearchParams;
  nowMs(): number;
}

/** Chooses by the Accept header: the first form in it that this server knows. */
export function renderingFor(options: RenderingOptions): Rendering {
  const { accept, kind, version } = options;
  for (const choice of accept.split(",")) {
    const parameters = new Map(
      choice
        .split(";")
        .slice(1)
        .map((part) => part.trim().split("=") as [string, string]),
    );
    const as = parameters.get("as");
    if (parameters.get("g") !== "meta.k8s.io" || as === undefined) {
      if (choice.trim().startsWith("application/json") || choice.trim() === "*/*") break;
      continue;
    }
    if (as === "Table") return tableRendering(options, `meta.k8s.io/${parameters.get("v")}`);
    if (as.startsWith("PartialObjectMetadata")) {
      return partialRendering(`meta.k8s.io/${parameters.get("v")}`);
    }
  }
  return {
    one: (object) => objectText(object, version.apiVersion),
    list(objects, metadata) {
      const head = JSON.stringify({
        kind: kind.listKind,
        apiVersion: version.apiVersion,
        metadata,
      });
      const items = objects.map((object) => objectText(object, version.apiVersion)).join(",");
      return `${head.slice(0, -1)},"items":[${items}]}`;
    },
  };
}

function partialRendering(apiVersion: string): Rendering {
  const partial = ({ metadata }: StoredObject): Json => ({
    kind: "PartialObjectMetadata",
    apiVersion,
    metadata,
  });
  return {
    one: (object) => JSON.stringify(partial(object)),
    list: (objects, metadata) =>
      JSON.stringify({
        kind: "PartialObjectMetadataList",
        apiVersion,
        metadata,
        items: objects.map(partial),
      }),
  };
}

function tableRendering(options: RenderingOptions, apiVersion: string): Rendering {
  const { kind, version, query } = options;
  const printer = printerOf(kind, version);
  const include = query.get("includeObject") ?? "Metadata";
  const row = (object: StoredObject): Json => ({
    cells: printer.cells(object, options.nowMs()),
    ...(include === "None"
      ? {}
      : {
          object:
            include === "Object"
              ? { ...object, apiVersion: version.apiVersion }
              : { kind: "PartialObjectMetadata", apiVersion, metadata: object.metadata },
        }),
  });
  const table = (rows: Json[], metadata: Json): string =>
    JSON.stringify({
      kind: "Table",
      apiVersion,
      metadata,
      columnDefinitions: printer.columns,
      rows,
    });
  return {
    one: (object) => table([row(object)], { resourceVersion: object.metadata.resourceVersion }),
    list: (objects, metadata) => table(objects.map(row), metadata),
  };
}

const ageColumn: PrinterColumn = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
};

function printerOf(kind: ApiKind, version: ApiVersion): Printer {
  const builtIn = printers[resourceOf(kind)];
  if (builtIn !== undefined) return builtIn;
  const given = version.columns ?? [];
  const columns = given.length > 0 ? given : [ageColumn];
  return {
    columns: [
      { name: "Name", type: "string", format: "name", description: "", priority: 0 },
      ...columns.map(({ name, type, format = "", description = "", priority = 0 }) => ({
        name,
        type,
        format,
        description,
        priority,
      })),
    ],
    cells: (object, nowMs) => [
      object.metadata.name,
      ...columns.map((column) => customCell(column, object, nowMs)),
    ],
  };
}

function customCell({ jsonPath, type }: PrinterColumn, object: StoredObject, nowMs: number): Json {
  const values = parseJsonPath(jsonPath)?.(object) ?? [];
  const [value] = values;
  if (value === undefined || value === null) return null;
  switch (type) {
    case "date":
      return ageOf(value, nowMs);
    case "integer":
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    default:
      return values.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join(" ");
  }
}
