/**
 * Paths of the API taken apart: which kind, namespace, name and subresource a request is about.
 * Proof: test/api-server/request-path.test.ts.
 * @module
 */

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
