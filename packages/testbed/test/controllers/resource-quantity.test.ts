// Amounts are read as Kubernetes writes them, and summed up as its scheduler does.
import { expect, it } from "vitest";
import { parseQuantity, podRequests } from "../../src/controllers/resource-quantity.ts";

it.each([
  ["1", 1],
  ["250m", 0.25],
  ["1.5", 1.5],
  ["512Mi", 512 * 2 ** 20],
  ["1G", 1e9],
  ["2e3", 2000],
  [4, 4],
  ["much", 0],
])("%s is %d", (text, expected) => {
  expect(parseQuantity(text)).toBe(expected);
});

it("adds containers up, and takes the largest of init containers", () => {
  const spec = {
    containers: [
      { resources: { requests: { cpu: "100m", memory: "1Gi" } } },
      { resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "400m" } } },
      {},
    ],
    initContainers: [
      { resources: { requests: { cpu: "2" } } },
      { resources: { requests: { cpu: "1", memory: "1Mi" } } },
    ],
  };
  expect(Object.fromEntries(podRequests(spec))).toEqual({ pods: 1, cpu: 2, memory: 2 * 2 ** 30 });
});
