// The worked example of the format page is true.
import { readFileSync } from "node:fs";
import { fromHex, toHex } from "@dm/core";
import { expect, it } from "vitest";
import { createHash, hashAlgorithms } from "../src/index.ts";

it("docs/format/hashing.md shows every algorithm's digest", () => {
  const page = readFileSync(new URL("../../../docs/format/hashing.md", import.meta.url), "utf8");
  const example = /```hex\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  const rows = new Map(
    example
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/, 2) as [string, string]),
  );
  const secret = fromHex(rows.get("secret")!);
  const message = fromHex(rows.get("message")!);
  for (const algorithm of Object.keys(hashAlgorithms))
    expect(toHex(createHash(algorithm, secret).digest(message)), algorithm).toBe(
      rows.get(algorithm),
    );
});
