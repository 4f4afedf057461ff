/** Label selectors where an operator or a label is called as what every object has. */
import { expect, it } from "vitest";
import { matchesSelector, selectorProblem } from "../../src/node-agent/label-selector.ts";

it.each(["constructor", "toString", "Near"])(
  "%s is no operator, and matches nothing",
  (operator) => {
    const selector = { matchExpressions: [{ key: "a", operator }] };
    expect(selectorProblem(selector)).toMatch(`"${operator}" is no operator`);
    expect(matchesSelector(selector, { a: "b" })).toBe(false);
  },
);

it.each([
  ["Exists", false],
  ["DoesNotExist", true],
  ["NotIn", true],
])("without labels there is none called constructor: %s", (operator, matches) => {
  const values = operator === "NotIn" ? { values: ["a"] } : {};
  const selector = { matchExpressions: [{ key: "constructor", operator, ...values }] };
  expect(matchesSelector(selector, {})).toBe(matches);
  expect(matchesSelector(selector, { constructor: "b" })).toBe(operator !== "DoesNotExist");
});
