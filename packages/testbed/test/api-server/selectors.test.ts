// Selectors in their text form against labels and fields.
import { expect, it } from "vitest";
import { builtInKinds } from "../../src/api-server/built-in-kinds.ts";
import { parseFieldSelector, parseLabelSelector } from "../../src/api-server/selectors.ts";
import type { StoredObject } from "../../src/index.ts";

const labels = { app: "web", tier: "front", "example.com/x": "", size: "10" };

it.each<[string, boolean]>([
  ["app=web", true],
  ["app==web,tier=front", true],
  ["app=db", false],
  ["app!=db", true],
  ["none!=x", true],
  ["app", true],
  ["none", false],
  ["!none", true],
  ["!app", false],
  ["example.com/x=", true],
  ["app in (web, db),tier notin (back)", true],
  ["app notin (web,db)", false],
  ["none notin (a)", true],
  ["none in (a)", false],
  ["size>5", true],
  ["size<5", false],
  ["", true],
])("%s", (text, expected) => {
  expect(parseLabelSelector(text)(labels)).toBe(expected);
});

it.each(["a in b", "=x", "a b"])("refuses %s", (text) => {
  expect(() => parseLabelSelector(text)).toThrow(expect.objectContaining({ status: 400 }));
});

it("selects by fields", () => {
  const events = builtInKinds.find(({ plural }) => plural === "events");
  if (events === undefined) throw new Error("no events");
  const event = {
    metadata: { name: "e", namespace: "x" },
    involvedObject: { kind: "Pod", name: "p" },
    source: { component: "kubelet" },
  } as unknown as StoredObject;
  const matches = (text: string): boolean => parseFieldSelector(events, "v1", text)(event);
  expect(matches("involvedObject.name=p,involvedObject.kind=Pod")).toBe(true);
  expect(matches("involvedObject.name!=p")).toBe(false);
  expect(matches("metadata.namespace=x,source=kubelet")).toBe(true);
  expect(matches("involvedObject.uid=")).toBe(true);
  expect(() => matches("spec.x=1")).toThrow("field label not supported: spec.x");
  expect(() => matches("name")).toThrow("invalid selector");
});
