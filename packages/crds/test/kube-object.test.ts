import { describe, expect, it } from "vitest";
import { apiVersionOf, type Resource } from "../src/index.ts";

const pods: Resource = { group: "", version: "v1", kind: "Pod", plural: "pods", namespaced: true };

describe("apiVersionOf", () => {
  it("leaves out the group of core kinds only", () => {
    expect(apiVersionOf(pods)).toBe("v1");
    expect(apiVersionOf({ ...pods, group: "velero.io" })).toBe("velero.io/v1");
  });
});
