// The documentation keeps its promises: links between pages resolve, every error code is explained in the README of the
// package that throws it, sources name formats and proofs that are there, the example of the root README runs, and no
// tracked file names a machine or a registry.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { anchors, fencedBlocks, links } from "../src/markdown.ts";
import { environmentFor, mustRun } from "../src/programs.ts";
import {
  filesUnder,
  fromRoot,
  publicPackages,
  root,
  trackedFiles,
  workspaces,
} from "../src/workspace.ts";

const tracked = trackedFiles();
const read = (path: string): string => readFileSync(path, "utf8");

/** What is wrong with the links of one page: relative targets that are not there, anchors that no heading makes. */
function brokenLinks(page: string): string[] {
  return links(read(page)).flatMap((link) => {
    if (/^(?:[a-z]+:)?\/\//.test(link) || link.startsWith("mailto:")) return [];
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : join(dirname(page), decodeURIComponent(path));
    if (!existsSync(target)) return [`${fromRoot(page)} links to ${link}, which is not there`];
    if (anchor === undefined || !target.endsWith(".md")) return [];
    return anchors(read(target)).includes(anchor)
      ? []
      : [`${fromRoot(page)} links to ${link}, but no heading makes this anchor`];
  });
}

/** Error codes in shipped code: string literals of the shape `DM_…`. Environment variables are not codes. */
const environment = new Set(["DM_FULL", "DM_NODE", "DM_PEERS", "DM_REQUIRE", "DM_SEED"]);
const codesIn = (text: string): string[] =>
  [...text.matchAll(/["'`](DM_[A-Z0-9]+(?:_[A-Z0-9]+)*)["'`]/g)]
    .map((match) => match[1] ?? "")
    .filter((code) => !environment.has(code));

describe("pages", () => {
  const pages = tracked.filter(
    (path) => path.endsWith(".md") && !fromRoot(path).startsWith(".changeset/"),
  );

  it.each(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE"])("%s is there", (name) => {
    expect(existsSync(join(root, name))).toBe(true);
  });

  it("every link between pages resolves", () => {
    expect(pages.length).toBeGreaterThan(5);
    expect(pages.flatMap(brokenLinks)).toEqual([]);
  });

  it("a broken link and a broken anchor are noticed", () => {
    const folder = mkdtempSync(join(root, "packages/checks/.vitest-docs-"));
    try {
      const page = join(folder, "page.md");
      writeFileSync(page, "# A\n[x](gone.md) [y](#b) [z](#a) [w](https://example.org/gone)\n");
      expect(brokenLinks(page).map((sentence) => sentence.replace(/^\S+ /, ""))).toEqual([
        "links to gone.md, which is not there",
        "links to #b, but no heading makes this anchor",
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("headers of shipped code", () => {
  /** Pages and tests that a source names as its format and its proof, which are not there. */
  const missingIn = (file: string, folder: string): string[] =>
    [...read(file).matchAll(/\b(?:docs|test)\/[\w./-]+\.(?:md|test\.ts)\b/g)]
      .map(([named]) => named)
      .filter((named) => !existsSync(join(named.startsWith("docs/") ? root : folder, named)))
      .map((named) => `${fromRoot(file)} names ${named}, which is not there`);

  it.each(workspaces().map((workspace) => [workspace.manifest.name, workspace] as const))(
    "%s names pages and tests that are there",
    (_name, { folder }) => {
      const sources = filesUnder(join(folder, "src"), (path) => path.endsWith(".ts"));
      expect(sources.flatMap((file) => missingIn(file, folder))).toEqual([]);
    },
  );
});

describe("error codes", () => {
  it.each(publicPackages().map((workspace) => [workspace.manifest.name, workspace] as const))(
    "every code of %s is in its README",
    (_name, { folder }) => {
      const sources = filesUnder(join(folder, "src"), (path) => path.endsWith(".ts"));
      expect(sources).not.toEqual([]);
      const codes = new Set(sources.flatMap((path) => codesIn(read(path))));
      const explained = read(join(folder, "README.md"));
      const missing = [...codes].filter((code) => !new RegExp(`\\b${code}\\b`).test(explained));
      expect(missing.sort()).toEqual([]);
    },
  );

  it("are recognised in any quotes, and nothing else is", () => {
    const text = `new FormatError("DM_A_B", x); code: 'DM_C'; \`DM_D2\`; "DM_FULL"; DM_NOT_QUOTED; "DM_"`;
    expect(codesIn(text)).toEqual(["DM_A_B", "DM_C", "DM_D2"]);
  });
});

describe("the root README", () => {
  const folder = mkdtempSync(join(root, "packages/checks/.vitest-readme-"));
  const temporary = mkdtempSync(join(tmpdir(), "dm-readme-"));
  afterAll(() => {
    for (const made of [folder, temporary]) rmSync(made, { recursive: true, force: true });
  });

  it("holds an example that runs on the built packages", async () => {
    const examples = fencedBlocks(read(join(root, "README.md"))).filter(
      ({ language }) => language === "ts",
    );
    expect(examples).not.toEqual([]);
    for (const { line, output, text } of examples) {
      const program = join(folder, `line-${line}.ts`);
      writeFileSync(program, text);
      const env = { ...environmentFor(process.execPath), TMPDIR: temporary };
      const { stdout } = await mustRun(process.execPath, [program], { cwd: folder, env });
      expect(stdout.trim(), `the example in line ${line} prints something`).not.toBe("");
      if (output !== undefined) expect(stdout, `the example in line ${line}`).toBe(output);
    }
  });
});

describe("tracked files", () => {
  // Written with classes of one character, so that this file does not name what it looks for.
  const forbidden = [
    ["machine path", /(?<![\w.@-])[/](?:work|root)[/][\w.-]+/],
    [
      "registry host",
      /https?:[/][/][^\s"'`/]*(?:registry|artifactory|nexus|verdaccio|npmjs)|registry[.](?:npmjs|yarnpkg)[.]/,
    ],
  ] as const;

  it.each(forbidden)("name no %s", (_what, expression) => {
    const faults = tracked
      .filter((path) => statSync(path).isFile() && statSync(path).size < 4 << 20)
      .flatMap((path) => {
        const bytes = readFileSync(path);
        if (bytes.includes(0)) return [];
        const match = expression.exec(bytes.toString());
        return match ? [`${fromRoot(path)}: ${match[0]}`] : [];
      });
    expect(faults).toEqual([]);
  });
});
