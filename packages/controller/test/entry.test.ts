import { expect, it } from "vitest";

it("has an entry point", async () => {
  expect(await import("../src/index.ts")).toBeDefined();
});
