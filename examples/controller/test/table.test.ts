import { expect, it } from "vitest";
import { formatTable } from "../src/demo/table.ts";

it("prints columns as kubectl does, without those for -o wide", () => {
  const text = formatTable({
    columnDefinitions: [
      { name: "Name", priority: 0 },
      { name: "Status", priority: 0 },
      { name: "Incremental Bytes", priority: 10 },
      { name: "Node", priority: 0 },
    ],
    rows: [
      { cells: ["first", "Completed", 5, "node-1"], object: { metadata: { namespace: "velero" } } },
      { cells: ["b", null, null, null], object: { metadata: { namespace: "velero" } } },
    ],
  });
  expect(text.split("\n")).toEqual([
    "NAMESPACE   NAME    STATUS      NODE",
    "velero      first   Completed   node-1",
    "velero      b",
  ]);
});
