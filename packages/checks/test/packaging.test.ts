// What users get works: every public package is packed as it would be published, installed alone by plain npm into an
// empty project (from a registry on loopback that holds the tarballs and the third-party packages of this checkout), its
// README examples run on the oldest and the newest supported Node and print what is said, and a strict consumer compiles under both.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onlyForNode } from "../src/directions.ts";
import { fencedBlocks } from "../src/markdown.ts";
import {
  type Packed,
  packFolders,
  packPackage,
  type Registry,
  serveRegistry,
  tarballFiles,
  thirdPartyFolders,
} from "../src/pack.ts";
import { environmentFor, mustRun, nodes, programOf } from "../src/programs.ts";
import { publicPackages, root, type Workspace } from "../src/workspace.ts";

const packages = publicPackages();
const base = mkdtempSync(join(tmpdir(), "dm-packaging-"));
const packed = new Map<string, Packed>();
let registry: Registry;

beforeAll(async () => {
  const tarballs = join(base, "tarballs");
  mkdirSync(tarballs);
  for (const workspace of packages) {
    packed.set(workspace.manifest.name, await packPackage(workspace, tarballs));
  }
  const thirdParty = packFolders(thirdPartyFolders(packages), tarballs);
  registry = await serveRegistry([...packed.values(), ...thirdParty]);
}, 120_000);

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(base, { recursive: true, force: true });
});

/** An empty project into which npm has installed `names`. */
async function project(folder: string, names: readonly string[]): Promise<string> {
  const cwd = join(base, folder);
  mkdirSync(cwd);
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const flags = [
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    `--cache=${join(base, "npm-cache")}`,
  ];
  const args = ["install", `--registry=${registry.url}`, ...flags, ...names];
  await mustRun("npm", args, { cwd, env: environmentFor(nodes().oldest.binary) });
  return cwd;
}

interface Example {
  readonly file: string;
  /** As the README has it. */
  readonly output: string | undefined;
}

/** The README's `ts` blocks as files of `cwd`, which are programs of their own. */
function writeExamples({ folder, shortName }: Workspace, cwd: string): Example[] {
  const blocks = fencedBlocks(readFileSync(join(folder, "README.md"), "utf8"));
  return blocks
    .filter(({ language }) => language === "ts")
    .map(({ line, output, text }) => {
      const file = `${shortName}-readme-line-${line}.ts`;
      writeFileSync(join(cwd, file), text);
      return { file, output };
    });
}

describe.each(packages.map((workspace) => [workspace.manifest.name, workspace] as const))(
  "%s, packed",
  (name, workspace) => {
    it("contains code, types, README and license, and nothing else of the checkout", async () => {
      const files = await tarballFiles(packed.get(name) as Packed);
      expect(files).toEqual(expect.arrayContaining(["package.json", "README.md", "LICENSE"]));
      expect(files).toEqual(expect.arrayContaining(["dist/index.js", "dist/index.d.ts"]));
      expect(files.filter((path) => /^(?:src|test|bench|node_modules)\//.test(path))).toEqual([]);
    });

    it("depends on released versions only", () => {
      const { manifest } = packed.get(name) as Packed;
      const ranges = Object.values({ ...manifest.dependencies, ...manifest.optionalDependencies });
      expect(ranges.filter((range) => !/^[\^~]?\d+\.\d+\.\d+$/.test(range))).toEqual([]);
    });

    it("installs alone, and its README examples run on the oldest and the newest Node", async () => {
      const cwd = await project(workspace.shortName, [name]);
      const examples = writeExamples(workspace, cwd);
      expect(examples).not.toEqual([]);
      const temporary = join(base, `${workspace.shortName}-temporary`);
      mkdirSync(temporary);
      for (const { version, binary } of Object.values(nodes())) {
        const env = { ...environmentFor(binary), TMPDIR: temporary };
        for (const { file, output } of examples) {
          const { stdout } = await mustRun(binary, [file], { cwd, env });
          expect(stdout.trim(), `${file} on Node ${version} prints something`).not.toBe("");
          if (output !== undefined) expect(stdout, `${file} on Node ${version}`).toBe(output);
        }
      }
    });
  },
);

describe("a consumer in strict TypeScript", () => {
  const typescript = programOf(join(root, "node_modules/typescript"), "tsc");
  let cwd = "";

  beforeAll(async () => {
    cwd = await project(
      "consumer",
      packages.map(({ manifest }) => manifest.name),
    );
    const entries = packages.flatMap(({ manifest, shortName }) =>
      Object.keys(manifest.exports ?? {})
        .filter((entry) => entry !== "./package.json")
        .map((entry) => ({
          isNeutral: entry === "." && !onlyForNode.has(shortName),
          specifier: `${manifest.name}${entry.slice(1)}`,
        })),
    );
    const source = (specifiers: readonly string[]): string =>
      specifiers
        .map((name, index) => `import * as entry${index} from "${name}";\nvoid entry${index};\n`)
        .join("");
    const main = entries.filter(({ isNeutral }) => isNeutral).map(({ specifier }) => specifier);
    writeFileSync(join(cwd, "main-entries.ts"), source(main));
    writeFileSync(join(cwd, "all-entries.ts"), source(entries.map(({ specifier }) => specifier)));
    const examples = packages
      .flatMap((workspace) => writeExamples(workspace, cwd))
      .map(({ file }) => file);
    for (const resolution of ["nodenext", "bundler"]) {
      const compilerOptions = {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        skipLibCheck: false,
        target: "ES2024",
        lib: ["ES2024", "ESNext.Disposable", "DOM"],
        module: resolution === "nodenext" ? "nodenext" : "esnext",
        moduleResolution: resolution,
        types: [] as string[],
      };
      const config = (name: string, files: readonly string[], more: object): void =>
        writeFileSync(
          join(cwd, `tsconfig.${name}-${resolution}.json`),
          JSON.stringify({ compilerOptions: { ...compilerOptions, ...more }, files }),
        );
      // The main entries must compile where there are no types of Node.
      config("neutral", ["main-entries.ts"], {});
      const typeRoots = [join(root, "packages/checks/node_modules/@types")];
      config("node", ["all-entries.ts", ...examples], {
        types: ["node"],
        typeRoots,
        skipLibCheck: true,
      });
    }
  }, 120_000);

  it.each(["nodenext", "bundler"])(
    "main entries, without any types of Node, moduleResolution %s",
    async (resolution) => {
      const args = [typescript, "-p", `tsconfig.neutral-${resolution}.json`];
      await mustRun(nodes().newest.binary, args, { cwd });
    },
  );

  it.each([
    ["nodenext", "oldest"],
    ["nodenext", "newest"],
    ["bundler", "oldest"],
    ["bundler", "newest"],
  ] as const)(
    "all entries and README examples, moduleResolution %s, on the %s Node",
    async (resolution, line) => {
      const args = [typescript, "-p", `tsconfig.node-${resolution}.json`];
      await mustRun(nodes()[line].binary, args, { cwd });
    },
  );
});
