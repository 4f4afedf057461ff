/** Places on a node are for movers at work, not for storage that takes its time afterwards. */
import { describe, expect, it } from "vitest";
import { takesPlace } from "../../src/node-agent/observe.ts";
import { type Given, t0, transferObject } from "../node-agent/objects.ts";

const ending = (phase: "Completed" | "Failed" | "Canceled") => ({ phase, by: "n1", atMs: t0 });

describe.each(["DataUpload", "DataDownload"] as const)("a %s", (kind) => {
  const takes = (given: Given): boolean =>
    takesPlace(transferObject(kind, { node: "n1", ...given }), "n1");

  it.each(["InProgress", "Canceling"])("takes a place while %s on the node", (phase) => {
    expect(takes({ phase })).toBe(true);
    expect(takes({ phase, node: "n2" })).toBe(false);
  });

  it.each(["New", "Accepted", "Prepared", "Completed"])("takes none while %s", (phase) => {
    expect(takes({ phase })).toBe(false);
  });

  it("gives it back when its mover has told its result", () => {
    expect(takes({ phase: "InProgress", ending: ending("Completed") })).toBe(false);
  });

  it.each(["Failed", "Canceled"] as const)(
    "keeps it until the end when it is to be %s: the mover may still run",
    (phase) => {
      expect(takes({ phase: "InProgress", ending: ending(phase) })).toBe(true);
    },
  );
});
