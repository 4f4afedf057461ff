/** Resource modifiers: which rules mean which objects, what their patches do, and why a ConfigMap is refused. */
import type { ConfigMap } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { AnyObject } from "../../src/restore/actions/action.ts";
import {
  applyResourceModifiers,
  type ModifierRule,
  parseResourceModifiers,
} from "../../src/restore/resource-modifier.ts";
import { object, resourceOf } from "./objects.ts";

const configMap = (text: string): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "rules", namespace: "velero" },
  data: { "rules.yaml": text },
});
const rules = (text: string): readonly ModifierRule[] => {
  const parsed = parseResourceModifiers(configMap(`version: v1\nresourceModifierRules:\n${text}`));
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed;
};
const modified = (text: string, source: AnyObject) =>
  applyResourceModifiers(rules(text), resourceOf(source), source);
const deployment = object(
  "apps/v1",
  "Deployment",
  "web-1",
  { spec: { replicas: 3, paused: false, args: ["a", "b"] } },
  { labels: { tier: "front" } },
);

it("JSON patches: values are texts that mean JSON where they can", () => {
  const { errors, object: result } = modified(
    `
- conditions: { groupResource: deployments.apps }
  patches:
  - { operation: replace, path: /spec/replicas, value: "1" }
  - { operation: replace, path: /spec/paused, value: "true" }
  - { operation: add, path: /metadata/labels/number, value: "\\"7\\"" }
  - { operation: add, path: /metadata/labels/word, value: text }
  - { operation: add, path: /metadata/labels/mode, value: "0755" }
  - { operation: add, path: /metadata/labels/hash, value: "0x1f" }
  - { operation: add, path: /spec/list, value: '[{"a": null}]' }
  - { operation: remove, path: /spec/args/0 }
  - { operation: copy, from: /spec/replicas, path: /spec/copied }
  - { operation: move, from: /spec/copied, path: /spec/moved }
`,
    deployment,
  );
  expect(errors).toEqual([]);
  expect(result["spec"]).toEqual({
    replicas: 1,
    paused: true,
    args: ["b"],
    list: [{ a: null }],
    moved: 1,
  });
  expect(result.metadata.labels).toEqual({
    tier: "front",
    number: "7",
    word: "text",
    mode: "0755",
    hash: "0x1f",
  });
  expect(deployment["spec"]).toEqual({ replicas: 3, paused: false, args: ["a", "b"] });
});

it("merge patches, in YAML or JSON", () => {
  const { object: result } = modified(
    `
- conditions: { groupResource: deployments.apps }
  mergePatches:
  - patchData: |
      spec: { replicas: 0, paused: null }
  - patchData: '{"metadata":{"labels":{"x":"y"}}}'
`,
    deployment,
  );
  expect(result["spec"]).toEqual({ replicas: 0, args: ["a", "b"] });
  expect(result.metadata.labels).toEqual({ tier: "front", x: "y" });
});

describe("a rule means objects", () => {
  const patch = "patches: [{ operation: add, path: /hit, value: 'yes' }]";
  const isHit = (conditions: string, source = deployment): boolean =>
    modified(`- conditions: ${conditions}\n  ${patch}\n`, source).object["hit"] === "yes";

  it.each([
    ["{ groupResource: deployments.apps }", true],
    ["{ groupResource: 'deployments.*' }", true],
    ["{ groupResource: '*' }", false],
    ["{ groupResource: '**' }", true],
    ["{ groupResource: deployments }", false],
    ["{ groupResource: deployments.apps, resourceNameRegex: '^web-.*$' }", true],
    ["{ groupResource: deployments.apps, resourceNameRegex: '^db' }", false],
    ["{ groupResource: deployments.apps, namespaces: [shop] }", true],
    ["{ groupResource: deployments.apps, namespaces: [other] }", false],
    ["{ groupResource: deployments.apps, labelSelector: { matchLabels: { tier: front } } }", true],
    ["{ groupResource: deployments.apps, labelSelector: { matchLabels: { tier: back } } }", false],
    ["{ groupResource: deployments.apps, matches: [{ path: /spec/replicas, value: '3' }] }", true],
    ["{ groupResource: deployments.apps, matches: [{ path: /spec/replicas, value: '4' }] }", false],
    ["{ groupResource: deployments.apps, matches: [{ path: /spec/none, value: '4' }] }", false],
  ])("%s: %s", (conditions, expected) => {
    expect(isHit(conditions)).toBe(expected);
  });

  it("as they were before all rules", () => {
    const { object: result } = modified(
      `
- conditions: { groupResource: deployments.apps }
  patches: [{ operation: replace, path: /spec/replicas, value: "9" }]
- conditions: { groupResource: deployments.apps, matches: [{ path: /spec/replicas, value: "3" }] }
  patches: [{ operation: add, path: /hit, value: "yes" }]
`,
      deployment,
    );
    expect(result).toMatchObject({ hit: "yes", spec: { replicas: 9 } });
  });
});

it("a patch that does not fit is an error, a test that does not hold is none; neither changes anything", () => {
  const rule = (patches: string): string =>
    `- conditions: { groupResource: deployments.apps }\n  patches: [${patches}]\n`;
  const missing = modified(rule("{ operation: remove, path: /spec/none }"), deployment);
  expect(missing).toEqual({
    object: deployment,
    errors: ["error in applying patch: there is nothing at /spec/none"],
  });
  const test =
    "{ operation: test, path: /spec/replicas, value: '9' }, { operation: remove, path: /spec }";
  expect(modified(rule(test), deployment)).toEqual({ object: deployment, errors: [] });
  const nameless = modified(rule("{ operation: remove, path: /metadata }"), deployment);
  expect(nameless.object).toEqual(deployment);
  expect(nameless.errors).toHaveLength(1);
});

it.each([
  ["version: v2\nresourceModifierRules: []", "unsupported resource modifier version v2"],
  ["version: v1\nresourceModifierRules: []", "resource modifier rules cannot be empty"],
  ["version: v1\nresourceModifierRules: [{ conditions: {} }]", "groupResource cannot be empty"],
  [
    "version: v1\nresourceModifierRules: [{ conditions: { groupResource: a } }]",
    "no patch data found",
  ],
  [
    "version: v1\nresourceModifierRules: [{ conditions: { groupResource: a }, strategicPatches: [{ patchData: '{}' }] }]",
    "strategicPatches are not supported: use patches or mergePatches",
  ],
  [
    "version: v1\nresourceModifierRules: [{ conditions: { groupResource: a }, patches: [{ operation: x, path: /a }] }]",
    "unsupported operation x",
  ],
  [
    "version: v1\nresourceModifierRules: [{ conditions: { groupResource: a }, patches: [{ operation: add }] }]",
    "path cannot be empty",
  ],
  [
    "version: v1\nresourceModifierRules: [{ conditions: { groupResource: a }, mergePatches: [{ patchData: '{}' }], patches: [{ operation: add, path: /a }] }]",
    "only one of patches, mergePatches, strategicPatches can be specified",
  ],
  ["- a", "the document is no object"],
  ["a: [", ""],
])("%j is refused", (text, reason) => {
  expect(parseResourceModifiers(configMap(text))).toEqual({
    problem: expect.stringContaining(
      `Error in parsing resource modifiers provided in configmap velero/rules: ${reason}`,
    ),
  });
});

it("a ConfigMap has one key", () => {
  for (const data of [{}, { a: "", b: "" }])
    expect(parseResourceModifiers({ ...configMap(""), data } as ConfigMap)).toHaveProperty(
      "problem",
    );
});
