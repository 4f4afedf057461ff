/**
 * The paths that are no resources: version, discovery, OpenAPI.
 * Proof: test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Json } from "../kube-object.ts";
import { unknownPath } from "./api-error.ts";
import { type ApiRequest, sendJson, sendText } from "./api-request.ts";
import { aggregatedDiscovery, coreVersions, group, groupList, resourceList } from "./discovery.ts";
import { type OpenApi, openApi } from "./openapi.ts";
import type { Registry } from "./registry.ts";

const serverVersion = {
  major: "1",
  minor: "33",
  gitVersion: "v1.33.1",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: "linux/amd64",
};

const v2Protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/**
 * A document that says nothing: kubectl up to 1.28, and newer ones for a `List`, want version 2 to be there, and go on without
 * what they do not find in it.
 */
function sendEmptyV2(response: ServerResponse, accept: string): void {
  // Field 1 of the message, `swagger`. The type is asked for with an @, which no Content-Type may have.
  if (accept.includes(v2Protobuf))
    sendText(response, 200, "\n\u00032.0", v2Protobuf.replace("@", "."));
  else {
    const info = { title: "Kubernetes", version: serverVersion.gitVersion };
    sendJson(response, 200, { swagger: "2.0", info, paths: {} });
  }
}

/** Answers from the OpenAPI documents, which are made again when the kinds have changed. */
export function createOpenApiHandler(registry: Registry): (request: ApiRequest) => boolean {
  let made: { readonly kindsVersion: number; readonly value: OpenApi } | undefined;
  return ({ path, response, headers }) => {
    if (path === "/openapi/v2") {
      sendEmptyV2(response, headers.accept ?? "");
      return true;
    }
    if (!/^\/openapi\/v3(\/|$)/.test(path)) return false;
    const { kindsVersion } = registry;
    if (made?.kindsVersion !== kindsVersion) made = { kindsVersion, value: openApi(registry) };
    const { index, documents } = made.value;
    const name = path.slice("/openapi/v3/".length).replace(/\/$/, "");
    const text = name === "" ? index : documents.get(name);
    if (text === undefined) throw unknownPath();
    sendText(response, 200, text);
    return true;
  };
}

/** Whether the path was one of discovery, and is answered. */
export function serveDiscovery(registry: Registry, request: ApiRequest): boolean {
  const segments = request.path.split("/").filter((segment) => segment !== "");
  const [first, second, third, ...more] = segments;
  const { response } = request;
  if (first === "version" && second === undefined) {
    sendJson(response, 200, serverVersion);
    return true;
  }
  if (first === "api" && third === undefined) {
    if (second === undefined) {
      sendDiscovery(request, registry, true, coreVersions(request.headers.host ?? ""));
    } else sendKnown(request, resourceList(registry, "", second));
    return true;
  }
  if (first !== "apis" || more.length > 0) return false;
  if (second === undefined) sendDiscovery(request, registry, false, groupList(registry));
  else if (third === undefined) sendKnown(request, group(registry, second));
  else sendKnown(request, resourceList(registry, second, third));
  return true;
}

function sendKnown({ response }: ApiRequest, value: Json): void {
  if (value === undefined) throw unknownPath();
  sendJson(response, 200, value);
}

function sendDiscovery(request: ApiRequest, registry: Registry, core: boolean, plain: Json): void {
  const { response, headers } = request;
  const accepted = /g=apidiscovery\.k8s\.io;v=(v2beta1|v2);as=APIGroupDiscoveryList/.exec(
    headers.accept ?? "",
  );
  if (!accepted) {
    sendJson(response, 200, plain);
    return;
  }
  const version = accepted[1] as string;
  const text = JSON.stringify(aggregatedDiscovery(registry, core, version));
  const tag = `"${createHash("sha256").update(text).digest("hex").toUpperCase()}"`;
  response.setHeader("ETag", tag);
  response.setHeader("Vary", "Accept");
  if (headers["if-none-match"] === tag) {
    response.writeHead(304);
    response.end();
    return;
  }
  const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  sendText(response, 200, text, type);
}
