/**
 * What a public package must have before anybody may publish it.
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fencedBlocks } from "./markdown.ts";
import { filesUnder, type Workspace } from "./workspace.ts";

const oldestNode = ">=22.19";

/** Everything that `workspace` lacks, one sentence each; empty when it is complete. */
export function packageFaults(workspace: Workspace): string[] {
  const { manifest, folder } = workspace;
  const faults: string[] = [];
  const expect = (holds: boolean, sentence: string): void => {
    if (!holds) faults.push(`${manifest.name}: ${sentence}`);
  };
  const some = (part: string, ending: string): boolean =>
    filesUnder(join(folder, part), (path) => path.endsWith(ending)).length > 0;

  expect(some("test", ".test.ts"), "no tests (test/*.test.ts)");
  expect(some("bench", ".bench.ts"), "no benchmark (bench/*.bench.ts)");
  for (const script of ["build", "types", "test", "bench"]) {
    expect(Boolean(manifest.scripts?.[script]), `no script "${script}"`);
  }
  for (const fault of readmeFaults(workspace)) expect(false, fault);
  for (const fault of exportFaults(workspace)) expect(false, fault);

  expect(/^\d+\.\d+\.\d+$/.test(manifest.version ?? ""), "version is not plain major.minor.patch");
  expect((manifest.description ?? "").length > 20, "no description");
  expect(manifest.license === "Apache-2.0", "license is not Apache-2.0");
  expect(manifest.type === "module", 'type is not "module"');
  expect(manifest.sideEffects === false, "sideEffects is not false");
  expect(manifest.engines?.node === oldestNode, `engines.node is not ${oldestNode}`);
  expect(manifest.files?.includes("dist") === true, "files does not name dist");
  expect(manifest.publishConfig?.access === "public", "publishConfig.access is not public");
  for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
    expect(!manifest.scripts?.[script], `runs "${script}" on the user's machine`);
  }
  return faults;
}

function readmeFaults({ manifest, folder }: Workspace): string[] {
  const path = join(folder, "README.md");
  if (!existsSync(path)) return ["no README.md"];
  const text = readFileSync(path, "utf8");
  const faults: string[] = [];
  if (!text.startsWith(`# ${manifest.name}\n`))
    faults.push(`README.md does not begin with "# ${manifest.name}"`);
  const examples = fencedBlocks(text).filter(({ language }) => language === "ts");
  if (!examples.some((example) => example.text.includes(`"${manifest.name}`))) {
    faults.push("README.md has no ts example that imports the package");
  }
  return faults;
}

/** Conditions in the order in which they must stand; sub-paths for workers have no source condition. */
function exportFaults({ manifest, folder }: Workspace): string[] {
  const entries = manifest.exports;
  if (!entries) return ["no exports"];
  const faults: string[] = [];
  if (entries["."] === undefined) faults.push("no main entry in exports");
  if (entries["./package.json"] !== "./package.json") faults.push("exports has no ./package.json");
  for (const [entry, target] of Object.entries(entries)) {
    if (entry === "./package.json") continue;
    if (typeof target === "string") {
      faults.push(`exports "${entry}" has no types`);
      continue;
    }
    const order = Object.keys(target).join(", ");
    if (order !== "@dm/source, types, default" && order !== "types, default") {
      faults.push(`exports "${entry}" has the conditions ${order}`);
    }
    const source = target["@dm/source"];
    if (source !== undefined && !existsSync(join(folder, source))) {
      faults.push(`exports "${entry}" names ${source}, which is not there`);
    }
    if (!/^\.\/dist\/.+\.d\.ts$/.test(target.types ?? "")) {
      faults.push(`exports "${entry}" has no types in dist`);
    }
    if (!/^\.\/dist\/.+\.js$/.test(target.default ?? "")) {
      faults.push(`exports "${entry}" has no code in dist`);
    }
  }
  return faults;
}
