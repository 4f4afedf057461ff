/**
 * What the workspace consists of, read from its manifests. Every check starts here, so that a new package is checked
 * from the moment its folder exists.
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Absolute path of the repository, with a slash at its end removed. */
export const root: string = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");

/** One key of an `exports` map: the conditions of this project, or a plain path. */
export type ExportTarget = string | Readonly<Record<string, string>>;

export interface Manifest {
  readonly name: string;
  readonly version?: string;
  readonly description?: string;
  readonly private?: boolean;
  readonly license?: string;
  readonly type?: string;
  readonly sideEffects?: unknown;
  readonly engines?: Readonly<Record<string, string>>;
  readonly files?: readonly string[];
  readonly publishConfig?: { readonly access?: string };
  readonly exports?: Readonly<Record<string, ExportTarget>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

export interface Workspace {
  /** Name without the scope: `hashing`. */
  readonly shortName: string;
  readonly folder: string;
  readonly manifest: Manifest;
  /** Published on npm. */
  readonly isPublic: boolean;
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/** All packages and examples, in the order of their folders. */
export function workspaces(base: string = root): Workspace[] {
  return ["packages", "examples"]
    .map((parent) => join(base, parent))
    .filter((parent) => existsSync(parent))
    .flatMap((parent) => readdirSync(parent).map((name) => join(parent, name)))
    .filter((folder) => existsSync(join(folder, "package.json")))
    .map((folder) => {
      const manifest = readManifest(folder);
      const shortName = manifest.name.replace(/^@dm\//, "");
      return { shortName, folder, manifest, isPublic: manifest.private !== true };
    });
}

export function publicPackages(): Workspace[] {
  return workspaces().filter(({ isPublic }) => isPublic);
}

const notSources = ["node_modules", "dist", ".vitest", ".turbo"];

/** Files under `folder` (absolute paths) whose path passes `filter`; build output and dependencies are left out. */
export function filesUnder(
  folder: string,
  filter: (path: string) => boolean,
  leftOut: readonly string[] = notSources,
): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return leftOut.includes(entry.name) ? [] : filesUnder(path, filter, leftOut);
    }
    return filter(path) ? [path] : [];
  });
}

/** Every file of the project that is in git, or would be if it were added now: absolute paths. */
export function trackedFiles(): string[] {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const listing = execFileSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  const paths = listing.split("\0").filter((path) => path !== "");
  return [...new Set(paths)].map((path) => join(root, path)).filter((path) => existsSync(path));
}

export const fromRoot = (path: string): string => relative(root, path);
