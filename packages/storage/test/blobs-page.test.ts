// The format page is true: its worked paths are the ones that the code makes, its table of object locks is the one that is
// applied, and its .shards file is what is written.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isBlobId, lockedPrefixes } from "../src/index.ts";
import { decodeSharding, encodeSharding, shardingFor, shardPath } from "../src/sharding.ts";

const page = readFileSync(new URL("../../../docs/format/blobs.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/```paths\n([\s\S]*?)```/g)]
  .flatMap(([, block = ""]) => block.trim().split("\n"))
  .filter((line) => !line.startsWith("shards "))
  .map((line) => line.split(/\s+/) as [shards: string, id: string, path: string]);

describe("docs/format/blobs.md", () => {
  it("has worked paths", () => {
    expect(examples.length).toBeGreaterThan(20);
    for (const example of examples) expect(example, example.join(" ")).toHaveLength(3);
  });

  it.each(examples)("%s: %s lies in %s", (shards, id, path) => {
    const sharding = shards.startsWith("[")
      ? shardingFor(JSON.parse(shards))
      : decodeSharding(shards, ".shards");
    expect(isBlobId(id)).toBe(true);
    expect(shardPath(id, sharding).join("/")).toBe(path);
    // Joined again it is the id: what a list makes of the path.
    expect(path.replaceAll("/", "")).toBe(`${id}.f`);
  });

  it("shows the .shards file that is written", () => {
    const [, shown] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
    expect(encodeSharding(shardingFor([1, 3]))).toBe(shown);
    expect(decodeSharding(shown ?? "", ".shards")).toEqual({
      ...shardingFor([1, 3]),
      overrides: [],
    });
  });

  it("says which classes are locked", () => {
    const rows = [...page.matchAll(/^\| (`.+?) +\|.*\| (yes|no) +\|$/gm)].flatMap(
      ([, prefixes = "", locked]) =>
        prefixes
          .split(", ")
          .map((prefix) => [prefix.replaceAll("`", ""), locked === "yes"] as const),
    );
    expect(rows.length).toBeGreaterThan(15);
    for (const [prefix, locked] of rows) {
      const is = lockedPrefixes.some((one) => prefix.startsWith(one));
      expect(is, prefix).toBe(locked);
    }
  });
});

describe("the .shards file", () => {
  it("may leave members out, and may hold null for a list, as Go writes an empty one", () => {
    expect(decodeSharding("{}", "x")).toEqual({
      default: [],
      maxNonShardedLength: 0,
      overrides: [],
    });
    expect(
      decodeSharding('{"default":null,"maxNonShardedLength":20,"overrides":null}', "x"),
    ).toEqual({ ...shardingFor([]), overrides: [] });
    expect(decodeSharding('{"overrides":[{"prefix":"p","shards":null}]}', "x").overrides).toEqual([
      { prefix: "p", shards: [] },
    ]);
  });

  it.each([
    "",
    "{",
    "[]",
    "null",
    "3",
    '{"default":3}',
    '{"default":[0]}',
    '{"default":[-1]}',
    '{"default":[1.5]}',
    '{"maxNonShardedLength":"20"}',
    '{"overrides":{}}',
    '{"overrides":[{"shards":[1]}]}',
    '{"overrides":[{"prefix":"p","shards":["1"]}]}',
    '{"overrides":[null]}',
  ])("%s is refused", (damaged) => {
    expect(() => decodeSharding(damaged, "/backup/.shards")).toThrow("/backup/.shards");
  });
});
