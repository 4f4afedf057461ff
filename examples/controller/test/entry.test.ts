import { expect, it } from "vitest";

it("has an entry point", async () => {
  expect(await import("../src/dm-controller.ts")).toBeDefined();
});
