/** The witness sees one byte, one mode, one time, one owner and one file that is gone or new. */
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ListedEntry } from "../src/demo-pod/volume-list.ts";
import { parseList, prove } from "../src/proof.ts";
import { listed } from "./listed.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-proof-"));
  mkdirSync(join(folder, "a/b"), { recursive: true });
  write("a/b/file", "text");
  write("a/empty", "");
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x5c])]), "odd name");
  symlinkSync("b/file", join(folder, "a/link"));
  lutimesSync(join(folder, "a/link"), 1e9, 1e9);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, text: string): void {
  writeFileSync(join(folder, path), text, { mode: 0o640 });
  utimesSync(join(folder, path), 1e9, 1e9);
}

const list = (): Promise<ListedEntry[]> => listed(folder);

describe("a volume", () => {
  it("is listed with everything that must come back", async () => {
    const entries = await list();
    expect(entries.map(({ path, type }) => [path, type])).toEqual([
      ["", "directory"],
      ["a", "directory"],
      ["a/b", "directory"],
      ["a/b/file", "file"],
      ["a/empty", "file"],
      ["a/link", "link"],
      ["\\xff\\x5c", "file"],
    ]);
    expect(entries[3]).toMatchObject({
      mode: 0o640,
      size: 4,
      mtimeNs: "1000000000000000000",
      sha256: "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1",
    });
    expect(entries[5]).toMatchObject({ target: "b/file" });
  });

  it("is the same as itself, also through lines of text", async () => {
    const before = await list();
    const lines = before.map((entry) => JSON.stringify(entry)).join("\n");
    const proof = prove(before, parseList(`some other line\n${lines}\n`));
    expect(proof).toEqual({ entries: 7, bytes: 12, differences: [] });
  });

  it.each<[string, () => void, string[]]>([
    ["one byte", () => write("a/b/file", "texT"), ["a/b/file: sha256"]],
    ["one mode", () => chmodSync(join(folder, "a/b/file"), 0o600), ["a/b/file: mode is 384"]],
    ["one time", () => utimesSync(join(folder, "a/empty"), 1, 1), ["a/empty: mtimeNs"]],
    ["a file gone", () => rmSync(join(folder, "a/empty")), ["a/empty: is missing"]],
    ["a file more", () => write("a/new", ""), ["a/new: was not there before"]],
    ["a mode of a directory", () => chmodSync(join(folder, "a/b"), 0o700), ["a/b: mode"]],
    [
      "a link elsewhere",
      () => {
        rmSync(join(folder, "a/link"));
        symlinkSync("empty", join(folder, "a/link"));
        lutimesSync(join(folder, "a/link"), 1e9, 1e9);
      },
      ["a/link: target is empty and was b/file"],
    ],
  ])("shows %s", async (_what, change, expected) => {
    const before = await list();
    change();
    const { differences } = prove(before, await list());
    expect(differences).toHaveLength(expected.length);
    for (const [index, text] of expected.entries()) expect(differences[index]).toContain(text);
  });
});

it("a block volume is one digest", async () => {
  const [entry] = await listed(join(folder, "a/b/file"));
  expect(entry).toMatchObject({ path: "", type: "device", size: 4 });
});

it("the witness is made of Node alone", () => {
  const source = new URL("../src/demo-pod/volume-list.ts", import.meta.url);
  const imported = [...readFileSync(source, "utf8").matchAll(/\b(?:from|import\()\s*"([^"]+)"/g)];
  expect(imported.length).toBeGreaterThan(1);
  expect(imported.filter(([, name]) => !name?.startsWith("node:"))).toEqual([]);
});
