// Paths of the API, and what they want to do in the words of RBAC.
import { expect, it } from "vitest";
import { accessAttributes, parseResourcePath } from "../../src/api-server/request-path.ts";

it.each([
  ["/api/v1/pods", ["", "v1", "pods", undefined, undefined, ""]],
  ["/api/v1/namespaces/x/pods", ["", "v1", "pods", "x", undefined, ""]],
  ["/api/v1/namespaces/x/pods/p/log", ["", "v1", "pods", "x", "p", "log"]],
  ["/api/v1/namespaces", ["", "v1", "namespaces", undefined, undefined, ""]],
  ["/api/v1/namespaces/x", ["", "v1", "namespaces", undefined, "x", ""]],
  ["/api/v1/namespaces/x/finalize", ["", "v1", "namespaces", undefined, "x", "finalize"]],
  ["/apis/a.b/v1/things/t", ["a.b", "v1", "things", undefined, "t", ""]],
  ["/apis/a.b/v1/namespaces/x/things/t/status", ["a.b", "v1", "things", "x", "t", "status"]],
  ["/api/v1/namespaces/x/pods/a%3Ab", ["", "v1", "pods", "x", "a:b", ""]],
])("%s", (path, expected) => {
  const parsed = parseResourcePath(path);
  const { group, version, plural, namespace, name, subresource } = parsed ?? {};
  expect([group, version, plural, namespace, name, subresource]).toEqual(expected);
});

it.each(["/", "/api", "/apis/a.b/v1", "/healthz", "/api/v1/%zz", "/api/v1/pods//x"])(
  "%s is no resource",
  (path) => {
    expect(parseResourcePath(path)).toBeUndefined();
  },
);

it.each([
  ["GET", "/api/v1/namespaces/x/pods", "list"],
  ["GET", "/api/v1/namespaces/x/pods?watch=true", "watch"],
  ["GET", "/api/v1/namespaces/x/pods/p", "get"],
  ["HEAD", "/api/v1/namespaces/x/pods/p", "get"],
  ["POST", "/api/v1/namespaces/x/pods", "create"],
  ["PUT", "/api/v1/namespaces/x/pods/p", "update"],
  ["PATCH", "/api/v1/namespaces/x/pods/p", "patch"],
  ["DELETE", "/api/v1/namespaces/x/pods/p", "delete"],
  ["DELETE", "/api/v1/namespaces/x/pods", "deletecollection"],
])("%s %s wants to %s", (method, url, verb) => {
  const { pathname, searchParams } = new URL(url, "http://x");
  const wanted = accessAttributes(method, pathname, parseResourcePath(pathname), searchParams);
  expect(wanted).toMatchObject({ verb, resource: "pods", namespace: "x" });
});
