/**
 * Who may import whom: the arrows of ARCHITECTURE.md as a table, and a judge of single imports.
 * @module
 */
import { dirname, join, sep } from "node:path";
import { type Import, packageOf } from "./imports.ts";
import { fromRoot, type Workspace } from "./workspace.ts";

const primitives = ["hashing", "encryption", "splitter", "compression"];
const underRepo = ["core", ...primitives, "storage"];
const underSnapshot = [...underRepo, "repo"];

/** Which packages of the workspace the *shipped code* of a package may import, by short names. */
export const allowedImports: Readonly<Record<string, readonly string[]>> = {
  fixtures: [],
  core: [],
  hashing: ["core"],
  encryption: ["core"],
  splitter: ["core"],
  compression: ["core"],
  storage: ["core"],
  repo: underRepo,
  snapshot: underSnapshot,
  crds: ["core"],
  controller: ["core", "crds", "snapshot"],
  testbed: ["core"],
  cli: [...underSnapshot, "snapshot", "crds", "controller"],
  reference: [...underSnapshot, "snapshot", "crds", "controller", "testbed"],
};

/** Besides `@dm/fixtures`: what only tests and benches of a package may import. */
const onlyInTests: Readonly<Record<string, readonly string[]>> = {
  controller: ["testbed", "repo", "storage"],
  crds: ["testbed"],
};

/** What the manifest of a package may name, development included. */
export function mayDeclare(shortName: string): readonly string[] {
  return [...(allowedImports[shortName] ?? []), ...(onlyInTests[shortName] ?? [])];
}

/** Public packages that run in Node alone: controllers are processes of a cluster, with signals, files of their pod and Node's HTTP. */
export const onlyForNode: ReadonlySet<string> = new Set(["controller"]);

/** Packages that see everything: tests of the whole workspace. */
const seesAll = new Set(["checks"]);

/** Packages that may never be loaded by what stands under the controllers. */
const kubernetes = /^@kubernetes\/|^kubernetes-/;
const mayUseKubernetes = new Set(["controller", "testbed", "crds", "reference"]);

/** Folder of a package that a file belongs to: "src" is shipped, everything else only runs in the checkout. */
function partOf(file: string, owner: Workspace): string {
  return file.slice(owner.folder.length + 1).split(sep)[0] ?? "";
}

/**
 * What is wrong with one import, or undefined.
 * Shipped code imports itself, its declared runtime dependencies, and the workspace packages of the table. Tests and
 * benches may add `@dm/fixtures` and any declared development dependency that is no forbidden workspace package.
 */
export function importFault(
  file: string,
  { specifier, typeOnly, line }: Import,
  owner: Workspace,
  all: readonly Workspace[],
): string | undefined {
  const fault = (text: string): string => `${fromRoot(file)}:${line} imports ${specifier}: ${text}`;
  const isShipped = partOf(file, owner) === "src";
  const shipped = owner.isPublic && isShipped;
  if (specifier.startsWith(".")) {
    const target = join(dirname(file), specifier);
    if (shipped && !target.startsWith(join(owner.folder, "src") + sep)) {
      return fault("shipped code stays inside its own src");
    }
    const settings = /^[^/]+\.base\.ts$/.test(fromRoot(target));
    if (!target.startsWith(owner.folder + sep) && !settings && !seesAll.has(owner.shortName)) {
      return fault("a package meets another one by its name");
    }
    return undefined;
  }
  if (specifier.startsWith("node:")) return undefined;
  const name = packageOf(specifier);
  if (name === undefined) return fault("absolute path");
  if (name === owner.manifest.name) return undefined;
  const { dependencies, optionalDependencies, peerDependencies, devDependencies } = owner.manifest;
  const runtime = { ...dependencies, ...optionalDependencies, ...peerDependencies };
  const known = shipped && !typeOnly ? runtime : { ...runtime, ...devDependencies };
  if (kubernetes.test(name) && !mayUseKubernetes.has(owner.shortName)) {
    return fault("Kubernetes stays above this package");
  }
  const target = all.find(({ manifest }) => manifest.name === name);
  if (target && !seesAll.has(owner.shortName)) {
    const allowed = allowedImports[owner.shortName];
    if (!allowed) return fault(`${owner.shortName} has no row in allowedImports`);
    const fixtures = target.shortName === "fixtures" && !shipped && owner.shortName !== "fixtures";
    const inTests = !isShipped && onlyInTests[owner.shortName]?.includes(target.shortName);
    if (!allowed.includes(target.shortName) && !fixtures && !inTests) {
      return fault(`not a direction of the architecture`);
    }
  }
  if (!(name in known)) return fault(`not among the declared dependencies`);
  return undefined;
}
