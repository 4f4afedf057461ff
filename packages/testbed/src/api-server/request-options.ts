/**
 * What the query and the body of a request say about how it is to be done.
 * Proof: test/api-server/http.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import { type ApiError, badRequest } from "./api-error.ts";
import type { ApiKind, ApiVersion } from "./api-kind.ts";
import { type ApiRequest, mediaType, parseText, readBody } from "./api-request.ts";
import type { DeleteOptions } from "./deletion-rules.ts";
import type { WriteOptions } from "./registry.ts";

export function writeOptions({ query, response, headers }: ApiRequest): WriteOptions & {
  readonly fieldManager: string;
} {
  const dryRun = query.get("dryRun");
  if (dryRun !== null && dryRun !== "All") {
    throw badRequest(`Invalid value: ${JSON.stringify(dryRun)}: dryRun must be All`);
  }
  const validation = query.get("fieldValidation") ?? "Warn";
  if (!["Strict", "Warn", "Ignore"].includes(validation)) {
    throw badRequest(`Invalid value: ${JSON.stringify(validation)}: fieldValidation`);
  }
  const agent = (headers["user-agent"] ?? "").split("/")[0] || "unknown";
  return {
    dryRun: dryRun === "All",
    fieldManager: query.get("fieldManager") || agent,
    onUnknownFields(paths, kind, version) {
      const texts = paths.map((path) => `unknown field ${JSON.stringify(path)}`);
      if (validation === "Strict") throw strictDecodingError(kind, version, texts);
      if (validation === "Warn") {
        response.setHeader(
          "Warning",
          texts.map((text) => `299 - ${JSON.stringify(text)}`),
        );
      }
    },
  };
}

function strictDecodingError(kind: ApiKind, version: ApiVersion, texts: string[]): ApiError {
  return badRequest(
    `${kind.kind} in version ${JSON.stringify(version.name)} cannot be handled as a ${kind.kind}: strict decoding error: ${texts.join(", ")}`,
  );
}

/** From the body, or where there is none from the query. */
export async function deleteOptions(request: ApiRequest): Promise<DeleteOptions> {
  const body = await readBody(request);
  const given: Json = body.length === 0 ? {} : parseText(body.toString(), mediaType(request));
  const { query } = request;
  const seconds = query.get("gracePeriodSeconds");
  const orphan = given.orphanDependents ?? query.get("orphanDependents");
  const policy =
    given.propagationPolicy ??
    query.get("propagationPolicy") ??
    (orphan === true || orphan === "true" ? "Orphan" : undefined);
  const dryRun: unknown = given.dryRun?.[0] ?? query.get("dryRun");
  return {
    uid: given.preconditions?.uid,
    resourceVersion: given.preconditions?.resourceVersion,
    gracePeriodSeconds:
      given.gracePeriodSeconds ?? (seconds === null ? undefined : Number(seconds)),
    propagationPolicy: policy ?? undefined,
    dryRun: dryRun === "All",
  };
}
