// Selectors and node affinity terms take exactly what the API's documentation says: one row for each operator and edge.
import { describe, expect, it } from "vitest";
import { matchesNodeSelectorTerms, matchesSelector } from "../../src/controllers/selector.ts";

const labels = { app: "mover", tier: "3" };

describe("label selectors", () => {
  it.each([
    [undefined, false],
    [{}, true],
    [{ matchLabels: { app: "mover" } }, true],
    [{ matchLabels: { app: "mover", zone: "a" } }, false],
    [{ matchExpressions: [{ key: "app", operator: "In", values: ["x", "mover"] }] }, true],
    [{ matchExpressions: [{ key: "app", operator: "In", values: ["x"] }] }, false],
    [{ matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["x"] }] }, true],
    [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["mover"] }] }, false],
    [{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }, true],
    [{ matchExpressions: [{ key: "app", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "toString", operator: "Exists" }] }, false],
    [{ matchExpressions: [{ key: "zone", operator: "DoesNotExist" }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "Gt", values: ["2"] }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "Lt", values: ["3"] }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "Like", values: ["mover"] }] }, false],
  ])("%j → %s", (selector, expected) => {
    expect(matchesSelector(selector, labels)).toBe(expected);
  });
});

describe("node selector terms", () => {
  const node = { metadata: { name: "node-1", labels } };
  it.each([
    [[], false],
    [[{}], false],
    [[{ matchExpressions: [{ key: "app", operator: "Exists" }] }], true],
    [[{ matchFields: [{ key: "metadata.name", operator: "In", values: ["node-1"] }] }], true],
    [[{ matchFields: [{ key: "metadata.name", operator: "NotIn", values: ["node-1"] }] }], false],
    [
      [
        {
          matchExpressions: [{ key: "zone", operator: "Exists" }],
          matchFields: [{ key: "metadata.name", operator: "In", values: ["node-1"] }],
        },
      ],
      false,
    ],
    [
      [
        { matchExpressions: [{ key: "zone", operator: "Exists" }] },
        { matchExpressions: [{ key: "app", operator: "Exists" }] },
      ],
      true,
    ],
  ])("%j → %s", (terms, expected) => {
    expect(matchesNodeSelectorTerms(terms, node)).toBe(expected);
  });
});
