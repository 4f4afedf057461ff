/**
 * Paths of the API taken apart: which kind, namespace, name and subresource a request is about.
 * Proof: test/api-server/request-path.test.ts.
 * @module
 */
import type { AccessAttributes } from "./rbac.ts";

export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  /** Undefined when the path names none: kinds without a namespace, or all namespaces. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string;
}

/** Undefined for paths that are none of a resource: discovery, health, anything else. */
export function parseResourcePath(path: string): ResourcePath | undefined {
  let segments: string[];
  try {
    segments = path.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return undefined;
  }
  if (segments.at(-1) === "") segments.pop();
  const core = segments[0] === "api";
  if (!core && segments[0] !== "apis") return undefined;
  const group = core ? "" : segments[1];
  const version = core ? segments[1] : segments[2];
  let rest = segments.slice(core ? 2 : 3);
  if (group === undefined || version === undefined || rest.length === 0) return undefined;
  let namespace: string | undefined;
  const ofNamespace = rest.length === 3 && (rest[2] === "status" || rest[2] === "finalize");
  if (rest[0] === "namespaces" && rest.length > 2 && !ofNamespace) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [plural, name, ...subresource] = rest;
  if (!plural || rest.includes("")) return undefined;
  return { group, version, plural, namespace, name, subresource: subresource.join("/") };
}

const writeVerbs: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "update",
  PATCH: "patch",
};

/** What a request wants to do, in the words of RBAC. */
export function accessAttributes(
  method: string,
  path: string,
  resource: ResourcePath | undefined,
  query: URLSearchParams,
): AccessAttributes {
  if (resource === undefined) {
    return {
      verb: method.toLowerCase(),
      group: "",
      resource: "",
      subresource: "",
      name: "",
      namespace: undefined,
      path,
    };
  }
  const { group, plural, subresource, namespace } = resource;
  const collection = resource.name === undefined;
  const watch = ["true", "1"].includes(query.get("watch") ?? "");
  let verb = writeVerbs[method];
  if (method === "DELETE") verb = collection ? "deletecollection" : "delete";
  verb ??= collection ? (watch ? "watch" : "list") : "get";
  // A collection narrowed to one name counts as that object.
  const only = /^metadata\.name==?([^,]+)$/.exec(query.get("fieldSelector") ?? "")?.[1];
  return {
    verb,
    group,
    resource: plural,
    subresource,
    name: resource.name ?? (method === "POST" ? "" : (only ?? "")),
    namespace: namespace ?? (plural === "namespaces" && group === "" ? resource.name : undefined),
  };
}
