// A public package that lacks tests, a benchmark, a README with an example, exports with types, or publishing fields is
// refused: a complete package made up in a temporary folder is damaged in one way at a time. `npm run check` applies the
// same rules to the packages of the workspace; the last test here does, too.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageFaults } from "../src/completeness.ts";
import { type Manifest, publicPackages, type Workspace, workspaces } from "../src/workspace.ts";

let base = "";
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "dm-completeness-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const complete = {
  name: "@dm/thing",
  version: "1.2.3",
  description: "A package made up for this test, complete",
  license: "Apache-2.0",
  type: "module",
  sideEffects: false,
  engines: { node: ">=22.19" },
  files: ["dist"],
  publishConfig: { access: "public" },
  exports: {
    ".": { "@dm/source": "./src/index.ts", types: "./dist/index.d.ts", default: "./dist/index.js" },
    "./worker": { types: "./dist/worker.d.ts", default: "./dist/worker.js" },
    "./package.json": "./package.json",
  },
  scripts: { build: "tsup", types: "tsc", test: "vitest run", bench: "node bench/thing.bench.ts" },
} satisfies Manifest;

const files: Readonly<Record<string, string>> = {
  "README.md": '# @dm/thing\n\n```ts\nimport { a } from "@dm/thing";\nconsole.log(a);\n```\n',
  "src/index.ts": "export const a = 1;\n",
  "test/thing.test.ts": "",
  "bench/thing.bench.ts": "",
};

/** The complete package with some fields and files replaced; undefined leaves one out. */
function make(
  fields: Readonly<Record<string, unknown>> = {},
  changed: Readonly<Record<string, string | undefined>> = {},
): Workspace {
  const folder = join(base, "packages/thing");
  const manifest = JSON.stringify({ ...complete, ...fields });
  for (const [path, text] of Object.entries({ ...files, ...changed, "package.json": manifest })) {
    if (text === undefined) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const [workspace] = workspaces(base);
  if (!workspace) throw new Error("the made-up package was not found");
  return workspace;
}

describe("packageFaults", () => {
  it("accepts the complete package", () => {
    expect(packageFaults(make())).toEqual([]);
  });

  it.each([
    ["tests", {}, { "test/thing.test.ts": undefined }, "no tests"],
    ["a benchmark", {}, { "bench/thing.bench.ts": undefined }, "no benchmark"],
    ["a README", {}, { "README.md": undefined }, "no README.md"],
    ["an example", {}, { "README.md": "# @dm/thing\n\n```sh\nls\n```\n" }, "no ts example"],
    [
      "its name in the README",
      {},
      { "README.md": files["README.md"]?.replace("# @dm", "# @md") },
      "begin with",
    ],
    ["exports", { exports: undefined }, {}, "no exports"],
    ["a main entry", { exports: { "./package.json": "./package.json" } }, {}, "no main entry"],
    [
      "types",
      { exports: { ...complete.exports, "./x": "./dist/x.js" } },
      {},
      'exports "./x" has no types',
    ],
    [
      "types before the code",
      {
        exports: { ...complete.exports, "./x": { default: "./dist/x.js", types: "./dist/x.d.ts" } },
      },
      {},
      "conditions default, types",
    ],
    ["the source it names", {}, { "src/index.ts": undefined }, "which is not there"],
    ["a license", { license: undefined }, {}, "license"],
    ["engines", { engines: undefined }, {}, "engines.node"],
    ["a version", { version: "next" }, {}, "version"],
    [
      "a bench script",
      { scripts: { ...complete.scripts, bench: undefined } },
      {},
      'no script "bench"',
    ],
    ["public access", { publishConfig: undefined }, {}, "publishConfig"],
    [
      "silence at install",
      { scripts: { ...complete.scripts, postinstall: "x" } },
      {},
      "postinstall",
    ],
  ] as const)("refuses a package without %s", (_what, fields, changed, sentence) => {
    const faults = packageFaults(make(fields, changed));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(sentence);
  });
});

it("every public package of the workspace is complete", () => {
  expect(publicPackages().map(({ shortName }) => shortName)).toContain("core");
  expect(publicPackages().flatMap(packageFaults)).toEqual([]);
});
