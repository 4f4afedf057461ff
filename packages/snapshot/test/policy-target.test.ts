// Which targets cover a source, and what of them is in labels.
import { expect, it } from "vitest";
import { policyLabels } from "../src/index.ts";
import { targetOfLabels, targetsCovering } from "../src/policy/policy-target.ts";

it("goes from the path over its parents, the user and the host to everybody", () => {
  const shown = (source: Parameters<typeof targetsCovering>[0]): string[] =>
    targetsCovering(source).map(({ host, path, userName }) => `${userName}@${host}:${path}`);
  expect(shown({ host: "h", userName: "u", path: "/a/b" })).toEqual([
    "u@h:/a/b",
    "u@h:/a",
    "u@h:/",
    "u@h:",
    "@h:",
    "@:",
  ]);
  expect(shown({ host: "h", userName: "u", path: "ns/pvc" })).toEqual([
    "u@h:ns/pvc",
    "u@h:ns",
    "u@h:",
    "@h:",
    "@:",
  ]);
  expect(shown({ host: "h", userName: "", path: "" })).toEqual(["@h:", "@:"]);
  expect(shown({ host: "", userName: "", path: "" })).toEqual(["@:"]);
});

it("reads targets from their labels", () => {
  for (const target of targetsCovering({ host: "h", userName: "u", path: "/a" }))
    expect(targetOfLabels(policyLabels(target))).toEqual(target);
});
