/**
 * The packages as they would be published, and an npm registry on loopback that offers them together with the
 * third-party packages they need, so that plain `npm install @dm/…` runs without any network.
 * @module
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname, join } from "node:path";
import { mustRun, pnpm } from "./programs.ts";
import { tarballOf } from "./tarball.ts";
import { type Manifest, readManifest, type Workspace } from "./workspace.ts";

export interface Packed {
  readonly manifest: Manifest;
  /** Absolute path of the tarball. */
  readonly tarball: string;
}

/** Packs one workspace package as `pnpm publish` would; what it contains is what was built before. */
export async function packPackage(workspace: Workspace, destination: string): Promise<Packed> {
  if (!existsSync(join(workspace.folder, "dist"))) {
    throw new Error(`${workspace.manifest.name} is not built: npm run build`);
  }
  const args = [pnpm, "pack", "--json", "--pack-destination", destination];
  const { stdout } = await mustRun(process.execPath, args, { cwd: workspace.folder });
  const tarball = (JSON.parse(stdout) as { filename: string }).filename;
  return packedFrom(tarball);
}

async function packedFrom(tarball: string): Promise<Packed> {
  const args = ["-xzOf", tarball, "package/package.json"];
  const { stdout } = await mustRun("tar", args, { cwd: dirname(tarball) });
  return { manifest: JSON.parse(stdout) as Manifest, tarball };
}

/** Paths inside a tarball, without the leading `package/`. */
export async function tarballFiles({ tarball }: Packed): Promise<string[]> {
  const { stdout } = await mustRun("tar", ["-tzf", tarball], { cwd: dirname(tarball) });
  return stdout
    .split("\n")
    .filter((path) => path !== "")
    .map((path) => path.replace(/^package\//, ""));
}

/** Folders of everything that is not of this workspace but needed at run time by `from`, as installed here. */
export function thirdPartyFolders(from: readonly Workspace[]): string[] {
  const found = new Map<string, string>();
  const visit = (manifest: Manifest, folder: string): void => {
    const needed = { ...manifest.dependencies, ...manifest.optionalDependencies };
    for (const name of Object.keys(needed)) {
      const target = locate(name, folder);
      if (target === undefined) {
        // Optional packages for other platforms are not installed here.
        if (name in (manifest.optionalDependencies ?? {})) continue;
        throw new Error(`${manifest.name} needs ${name}, which is not installed`);
      }
      const next = readManifest(target);
      if (target.includes("node_modules")) {
        const id = `${next.name}@${next.version}`;
        if (found.has(id)) continue;
        found.set(id, target);
      }
      visit(next, target);
    }
  };
  for (const { manifest, folder } of from) visit(manifest, folder);
  return [...found.values()];
}

/** Node's look-up of a package: `node_modules` of the folder and of every one above it. */
function locate(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, "node_modules", name);
    if (existsSync(path)) return realpathSync(path);
    if (folder === dirname(folder)) return undefined;
  }
}

/** Packs installed third-party packages as they lie on the disk. */
export function packFolders(folders: readonly string[], destination: string): Packed[] {
  return folders.map((folder) => {
    const manifest = readManifest(folder);
    const file = `${manifest.name.replace("@", "").replace("/", "-")}-${manifest.version}.tgz`;
    const tarball = join(destination, file);
    writeFileSync(tarball, tarballOf(folder));
    return { manifest, tarball };
  });
}

export interface Registry extends AsyncDisposable {
  readonly url: string;
  /** Names that were asked for and are not here. */
  readonly missed: ReadonlySet<string>;
}

/** Serves packed packages the way npm's registry does, on a free port of 127.0.0.1. */
export async function serveRegistry(packages: readonly Packed[]): Promise<Registry> {
  const missed = new Set<string>();
  let url = "";
  const describe = (name: string): object | undefined => {
    const versions = packages.filter(({ manifest }) => manifest.name === name);
    const latest = versions.at(-1);
    if (!latest) return undefined;
    return {
      name,
      "dist-tags": { latest: latest.manifest.version },
      versions: Object.fromEntries(
        versions.map(({ manifest, tarball }) => {
          const digest = createHash("sha512").update(readFileSync(tarball)).digest("base64");
          const dist = { tarball: `${url}/-/${basename(tarball)}`, integrity: `sha512-${digest}` };
          return [manifest.version, { ...manifest, dist }];
        }),
      ),
    };
  };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "/");
    const file = packages.find(({ tarball }) => path === `/-/${basename(tarball)}`);
    if (file) return response.end(readFileSync(file.tarball));
    const found = describe(path.slice(1));
    if (!found) {
      missed.add(path.slice(1));
      response.statusCode = 404;
    }
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify(found ?? { error: "not found" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    missed,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
