/**
 * Where a client keeps its files, as Kopia places them, so that either program finds what the other wrote.
 * Format: docs/format/client-files.md. Proof: test/client-config.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { posix, resolve, win32 } from "node:path";

/** The surroundings that decide about paths; by default those of this process. */
export interface PathEnvironment {
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly platform?: NodeJS.Platform | undefined;
  readonly homeDirectory?: string | undefined;
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly home: string;
  readonly path: typeof posix;
}

function surroundingsOf(environment: PathEnvironment): Surroundings {
  const { env = process.env, platform = process.platform } = environment;
  const path = platform === "win32" ? win32 : posix;
  return { env, platform, home: environment.homeDirectory ?? homedir(), path };
}

/** `KOPIA_CONFIG_PATH`, or `kopia/repository.config` in the user's configuration directory. */
export function defaultConfigPath(environment: PathEnvironment = {}): string {
  const { env, home, path, platform } = surroundingsOf(environment);
  if (env.KOPIA_CONFIG_PATH) return env.KOPIA_CONFIG_PATH;
  const base = {
    win32: () => env.APPDATA || path.join(home, "AppData", "Roaming"),
    darwin: () => path.join(home, "Library", "Application Support"),
    other: () => xdgDirectory(env.XDG_CONFIG_HOME) ?? path.join(home, ".config"),
  };
  return path.join(pick(base, platform), "kopia", "repository.config");
}

/** The directory `kopia` in the user's cache directory. */
export function defaultCacheRoot(environment: PathEnvironment = {}): string {
  const { env, home, path, platform } = surroundingsOf(environment);
  const base = {
    win32: () => env.LOCALAPPDATA || path.join(home, "AppData", "Local"),
    darwin: () => path.join(home, "Library", "Caches"),
    other: () => xdgDirectory(env.XDG_CACHE_HOME) ?? path.join(home, ".cache"),
  };
  return path.join(pick(base, platform), "kopia");
}

function pick(
  base: { win32(): string; darwin(): string; other(): string },
  platform: NodeJS.Platform,
): string {
  return platform === "win32" || platform === "darwin" ? base[platform]() : base.other();
}

// The XDG rules ignore relative paths.
function xdgDirectory(value: string | undefined): string | undefined {
  return value && posix.isAbsolute(value) ? value : undefined;
}

/**
 * The cache directory of a new connection: one for each repository and configuration file, `<root>/<16 hex digits>`
 * of SHA-256(unique id || absolute path of the configuration file).
 */
export function defaultCacheDirectory(
  uniqueId: Uint8Array,
  configPath: string,
  environment: PathEnvironment = {},
): string {
  const { path } = surroundingsOf(environment);
  const digest = createHash("sha256").update(uniqueId).update(resolve(configPath)).digest("hex");
  return path.join(defaultCacheRoot(environment), digest.slice(0, 16));
}

/** The file that holds the password of a connection. */
export function passwordFilePath(configPath: string): string {
  return `${configPath}.kopia-password`;
}
