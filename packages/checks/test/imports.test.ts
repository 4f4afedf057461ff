// The arrows of the architecture hold: every import of every package, in shipped code, tests and benches, is read from
// its syntax tree and judged by one table; made-up files show that each rule can fail.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { allowedImports, importFault, mayDeclare, onlyForNode } from "../src/directions.ts";
import { entrySource, importsOf, importsOfFile, reachedFrom } from "../src/imports.ts";
import {
  filesUnder,
  fromRoot,
  publicPackages,
  type Workspace,
  workspaces,
} from "../src/workspace.ts";

const all = workspaces();
const find = (shortName: string): Workspace => {
  const found = all.find((workspace) => workspace.shortName === shortName);
  if (!found) throw new Error(`no package ${shortName}`);
  return found;
};
const typescriptFiles = (folder: string): string[] =>
  filesUnder(folder, (path) => /\.(?:ts|mts|js|mjs)$/.test(path) && !path.endsWith(".d.ts"));

describe("directions", () => {
  it.each(all.map((workspace) => [workspace.manifest.name, workspace] as const))(
    "%s imports only what stands under it and what it declares",
    (_name, workspace) => {
      const files = typescriptFiles(workspace.folder);
      expect(files).not.toEqual([]);
      const faults = files.flatMap((file) =>
        importsOfFile(file).flatMap((found) => importFault(file, found, workspace, all) ?? []),
      );
      expect(faults).toEqual([]);
    },
  );

  it("the table has no cycle and names a package before those above it", () => {
    const order = Object.keys(allowedImports);
    for (const [name, below] of Object.entries(allowedImports)) {
      if (name === "controller" || name === "testbed" || name === "cli") continue;
      for (const other of below)
        expect(order.indexOf(other), `${name} → ${other}`).toBeLessThan(order.indexOf(name));
    }
  });

  it("declared dependencies follow the same arrows, so that builds cannot cycle", () => {
    const faults = all
      .filter(({ shortName }) => shortName !== "checks")
      .flatMap(({ manifest, shortName }) =>
        Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
          .filter((name) => name.startsWith("@dm/") && name !== "@dm/fixtures")
          .filter((name) => !mayDeclare(shortName).includes(name.slice("@dm/".length)))
          .map((name) => `${manifest.name} declares ${name}`),
      );
    expect(faults).toEqual([]);
    const fixtures = Object.keys({
      ...find("fixtures").manifest.dependencies,
      ...find("fixtures").manifest.devDependencies,
    });
    expect(fixtures.filter((name) => name.startsWith("@dm/"))).toEqual([]);
  });

  it("the independent decoder imports nothing of this project", () => {
    const folder = join(find("repo").folder, "test/reference");
    const files = typescriptFiles(folder);
    expect(files).not.toEqual([]);
    const faults = files.flatMap((file) =>
      importsOfFile(file)
        .filter(({ specifier }) =>
          specifier.startsWith(".")
            ? !join(file, "..", specifier).startsWith(folder)
            : specifier.startsWith("@dm/"),
        )
        .map(({ specifier, line }) => `${fromRoot(file)}:${line} imports ${specifier}`),
    );
    expect(faults).toEqual([]);
  });
});

describe("main entries are platform-neutral", () => {
  const neutral = publicPackages().filter(({ shortName }) => !onlyForNode.has(shortName));
  it.each(neutral.map((workspace) => [workspace.manifest.name, workspace] as const))(
    "%s reaches no module of Node",
    (_name, workspace) => {
      const entry = entrySource(workspace, ".");
      if (!entry) throw new Error("no source condition on the main entry");
      const node = reachedFrom(entry, all).filter(({ specifier }) => specifier.startsWith("node:"));
      expect(
        node.map(({ specifier, path }) => [...path.map(fromRoot), specifier].join(" → ")),
      ).toEqual([]);
    },
  );
});

describe("the judge", () => {
  const judge = (owner: string, file: string, code: string): string[] => {
    const workspace = find(owner);
    const path = join(workspace.folder, file);
    return importsOf(code).flatMap((found) => importFault(path, found, workspace, all) ?? []);
  };

  it.each([
    [
      "a primitive that imports a sibling",
      "hashing",
      "src/x.ts",
      'import { a } from "@dm/splitter";',
    ],
    ["a re-export from above", "storage", "src/x.ts", 'export { a } from "@dm/repo";'],
    ["a dynamic import from above", "core", "src/x.ts", 'await import("@dm/hashing");'],
    ["a type from above", "core", "src/x.ts", 'import type { A } from "@dm/hashing";'],
    ["an import type from above", "core", "src/x.ts", 'let a: import("@dm/hashing").A;'],
    [
      "a resolved path from above",
      "core",
      "src/x.ts",
      'import.meta.resolve("@dm/hashing/worker");',
    ],
    ["Kubernetes in the repository", "repo", "src/x.ts", 'import "@kubernetes/client-node";'],
    [
      "Kubernetes in a test of the repository",
      "repo",
      "test/x.test.ts",
      'import "@kubernetes/client-node";',
    ],
    [
      "test data in shipped code",
      "hashing",
      "src/x.ts",
      'import { loadVectors } from "@dm/fixtures";',
    ],
    [
      "a development dependency in shipped code",
      "hashing",
      "src/x.ts",
      'import fc from "fast-check";',
    ],
    ["an undeclared dependency", "core", "src/x.ts", 'import { z } from "zod";'],
    [
      "a file of another package",
      "core",
      "src/x.ts",
      'import { a } from "../../hashing/src/index.ts";',
    ],
    ["a test helper in shipped code", "core", "src/x.ts", 'import { a } from "../test/helper.ts";'],
    [
      "a file of another package in a test",
      "core",
      "test/x.test.ts",
      'import { a } from "../../hashing/src/index.ts";',
    ],
    [
      "a package of the workspace in fixtures",
      "fixtures",
      "test/x.test.ts",
      'import { a } from "@dm/core";',
    ],
  ])("refuses %s", (_what, owner, file, code) => {
    expect(judge(owner, file, code)).toHaveLength(1);
  });

  it.each([
    ["core in a primitive", "hashing", "src/x.ts", 'import { toHex } from "@dm/core";'],
    [
      "test data in a test",
      "hashing",
      "test/x.test.ts",
      'import { loadVectors } from "@dm/fixtures";',
    ],
    [
      "a type of a development dependency",
      "core",
      "src/x.ts",
      'import type { A } from "fast-check";',
    ],
    ["a sibling file", "core", "src/x.ts", 'import { a } from "./bytes.ts";'],
    [
      "text that only looks like an import",
      "core",
      "src/x.ts",
      'const a = `import "@dm/repo"`; // import "zod"',
    ],
  ])("accepts %s", (_what, owner, file, code) => {
    expect(judge(owner, file, code)).toEqual([]);
  });

  it("sees this file's own imports", () => {
    const specifiers = importsOf(readFileSync(import.meta.filename, "utf8")).map(
      (i) => i.specifier,
    );
    expect(specifiers).toEqual(
      expect.arrayContaining(["vitest", "../src/directions.ts", "node:fs"]),
    );
    expect(specifiers).not.toContain("@dm/repo");
  });
});
