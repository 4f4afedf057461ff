// The table of contents of the format pages is complete, and every page that a source file of this package names exists.
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { readPage } from "./format-page.ts";

const folder = new URL("../../../docs/format/", import.meta.url);
const sources = new URL("../src/", import.meta.url);

const pages = readdirSync(folder)
  .filter((name) => name.endsWith(".md") && name !== "README.md")
  .sort();

it("lists every page", async () => {
  const order = (await readPage("README")).split("## Layers")[0]!;
  const listed = [...order.matchAll(/\]\(([a-z-]+\.md)\)/g)].map(([, name]) => name!);
  expect(listed.toSorted()).toEqual(pages);
});

it("has every page that a source file or another page names", () => {
  const named = new Map<string, string>();
  for (const name of readdirSync(sources, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const text = readFileSync(new URL(name, sources), "utf8");
    for (const [, page] of text.matchAll(/docs\/format\/([a-z-]+\.md)/g)) named.set(page!, name);
  }
  expect(named.size).toBeGreaterThan(8);
  for (const name of pages) {
    const text = readFileSync(new URL(name, folder), "utf8");
    for (const [, page] of text.matchAll(/\]\(([a-z-]+\.md)\)/g)) named.set(page!, name);
  }
  for (const [page, from] of named) expect(pages, `${from} names ${page}`).toContain(page);
});
