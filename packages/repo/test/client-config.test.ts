// The files of a client are those of Kopia: paths, configuration, password file and token, in both directions, with
// unknown members kept, secrets out of errors, and files that only their owner reads.
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHex, utf8Encode } from "@dm/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ClientConfig,
  cacheDirectoryOf,
  cacheLimitsOf,
  decodeToken,
  defaultCacheDirectory,
  defaultConfigPath,
  defaultHostname,
  defaultUsername,
  encodeToken,
  formatBlobCacheDurationMs,
  newCachingSettings,
  passwordFilePath,
  readClientConfig,
  readPasswordFile,
  removeClientConfig,
  removePasswordFile,
  writeClientConfig,
  writePasswordFile,
} from "../src/client/index.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "dm-client-"));
});
afterAll(() => rm(directory, { recursive: true }));

const storage = { type: "filesystem", config: { path: "/backup", dirShards: null } };
// As Kopia writes it, with one member that we do not know.
const kopiaText = `{
  "storage": {
    "type": "filesystem",
    "config": {
      "path": "/backup",
      "dirShards": null
    }
  },
  "caching": {
    "cacheDirectory": "../../.cache/kopia/8d5f4d2b9e6c1a30",
    "maxCacheSize": 5242880000,
    "maxMetadataCacheSize": 5242880000,
    "maxListCacheDuration": 30
  },
  "hostname": "vm",
  "username": "root",
  "later": {
    "a": 1
  },
  "description": "Repository in Filesystem: /backup",
  "enableActions": false,
  "formatBlobCacheDuration": 900000000000
}
`;

describe("paths", () => {
  const home = { homeDirectory: "/home/u", env: {} };

  it.each([
    ["linux", {}, "/home/u/.config/kopia/repository.config"],
    ["linux", { XDG_CONFIG_HOME: "/x" }, "/x/kopia/repository.config"],
    ["linux", { XDG_CONFIG_HOME: "x" }, "/home/u/.config/kopia/repository.config"],
    ["darwin", {}, "/home/u/Library/Application Support/kopia/repository.config"],
    ["win32", { APPDATA: "C:\\A" }, "C:\\A\\kopia\\repository.config"],
    ["linux", { KOPIA_CONFIG_PATH: "/elsewhere.config" }, "/elsewhere.config"],
  ] as const)("of the configuration on %s with %o", (platform, env, expected) => {
    expect(defaultConfigPath({ platform, homeDirectory: "/home/u", env })).toBe(expected);
  });

  it.each([
    ["linux", {}, "/home/u/.cache/kopia/"],
    ["linux", { XDG_CACHE_HOME: "/x" }, "/x/kopia/"],
    ["darwin", {}, "/home/u/Library/Caches/kopia/"],
    ["win32", { LOCALAPPDATA: "C:\\L" }, "C:\\L\\kopia\\"],
  ] as const)("of the cache on %s with %o", (platform, env, prefix) => {
    const found = defaultCacheDirectory(new Uint8Array(32), "/c/repository.config", {
      ...home,
      platform,
      env,
    });
    const digest = createHash("sha256")
      .update(new Uint8Array(32))
      .update("/c/repository.config")
      .digest("hex");
    expect(found).toBe(prefix + digest.slice(0, 16));
  });

  it("differ for each repository and configuration file", () => {
    const of = (id: number, path: string) =>
      defaultCacheDirectory(new Uint8Array(32).fill(id), path, home);
    expect(new Set([of(1, "/a"), of(2, "/a"), of(1, "/b")]).size).toBe(3);
  });
});

describe("a configuration file", () => {
  it("of Kopia is read, and written again as it was", async () => {
    const path = join(directory, "kopia.config");
    await writeFile(path, kopiaText);
    const config = await readClientConfig(path);
    expect(config).toMatchObject({ storage, hostname: "vm", later: { a: 1 } });
    await writeClientConfig(path, config);
    // Known members first, in the order of the schema; nothing is lost.
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual(JSON.parse(kopiaText));
    expect(await readFile(path, "utf8")).toMatch(/^{\n {2}"storage": {\n {4}"type"[\s\S]*}\n$/);
  });

  it("is for its owner alone, in a directory for its owner alone, without leftovers", async () => {
    const path = join(directory, "new", "deep", "repository.config");
    await writeClientConfig(path, { storage });
    await writeClientConfig(path, { storage, readonly: true });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, "new"))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(directory, "new", "deep"))).toEqual(["repository.config"]);
    expect(await readClientConfig(path)).toEqual({ storage, readonly: true });
  });

  it("that is missing means: not connected", async () => {
    await expect(readClientConfig(join(directory, "none"))).rejects.toMatchObject({
      code: "DM_CONFIG_NOT_FOUND",
    });
  });

  it.each([
    ["no JSON", '{"secretAccessKey": "hunter2"'],
    ["neither storage nor server", "{}"],
    ["a storage without type", '{"storage":{"config":{"secretAccessKey":"hunter2"}}}'],
    [
      "a text for a number",
      '{"storage":{"type":"s3","config":{}},"formatBlobCacheDuration":"hunter2"}',
    ],
  ])("with %s is refused, and its secrets are not quoted", async (_, text) => {
    const path = join(directory, "bad.config");
    await writeFile(path, text);
    const error = await readClientConfig(path).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "DM_CONFIG_INVALID", details: { path } });
    expect(`${error} ${JSON.stringify(error)}`).not.toContain("hunter2");
    expect((error as Error).cause).toBeUndefined();
  });

  it("for a server needs no storage", async () => {
    const path = join(directory, "server.config");
    await writeClientConfig(path, { apiServer: { url: "https://kopia.example" } });
    expect((await readClientConfig(path)).apiServer).toEqual({ url: "https://kopia.example" });
  });

  it("is removed together with the password", async () => {
    const path = join(directory, "gone.config");
    await writeClientConfig(path, { storage });
    await writePasswordFile(path, "p");
    await removeClientConfig(path);
    await removeClientConfig(path);
    expect((await readdir(directory)).filter((name) => name.startsWith("gone"))).toEqual([]);
  });
});

describe("caching", () => {
  const configPath = "/home/u/.config/kopia/repository.config";

  it("is configured relative to the configuration file", () => {
    const env = {};
    const options = {
      uniqueId: new Uint8Array(32),
      configPath,
      env,
      platform: "linux",
      homeDirectory: "/home/u",
    } as const;
    const caching = newCachingSettings(options);
    expect(caching).toMatchObject({
      maxCacheSize: 5_242_880_000,
      maxMetadataCacheSize: 5_242_880_000,
      maxListCacheDuration: 30,
    });
    expect(caching.cacheDirectory).toMatch(/^\.\.\/\.\.\/\.cache\/kopia\/[0-9a-f]{16}$/);
    const directoryOf = cacheDirectoryOf({ storage, caching }, configPath, env);
    expect(directoryOf).toBe(defaultCacheDirectory(options.uniqueId, configPath, options));
    const chosen = newCachingSettings({
      ...options,
      cacheDirectory: "/var/cache/dm",
      contentCacheBytes: 7,
      metadataCacheBytes: 8,
    });
    expect(cacheDirectoryOf({ storage, caching: chosen }, configPath, env)).toBe("/var/cache/dm");
    expect(cacheLimitsOf({ storage, caching: chosen })).toEqual({
      contentBytes: 7,
      metadataBytes: 8,
    });
  });

  it("can be sent elsewhere by the environment, with an absolute path", () => {
    const config: ClientConfig = { storage, caching: { cacheDirectory: "a" } };
    expect(cacheDirectoryOf(config, configPath, { KOPIA_CACHE_DIRECTORY: "/tmp/c" })).toBe(
      "/tmp/c",
    );
    expect(() => cacheDirectoryOf(config, configPath, { KOPIA_CACHE_DIRECTORY: "c" })).toThrow(
      /absolute/,
    );
    expect(cacheDirectoryOf(config, configPath, {})).toBe("/home/u/.config/kopia/a");
    expect(cacheDirectoryOf({ storage }, configPath, {})).toBeUndefined();
  });

  it("has caps: a limit wins over a size, and no setting means none", () => {
    const caching = {
      maxCacheSize: 10,
      contentCacheSizeLimitBytes: 20,
      metadataCacheSizeLimitBytes: 30,
    };
    expect(cacheLimitsOf({ storage, caching })).toEqual({ contentBytes: 20, metadataBytes: 30 });
    expect(cacheLimitsOf({ storage })).toEqual({ contentBytes: 0, metadataBytes: 0 });
  });

  it.each([
    [undefined, 900_000],
    [0, 900_000],
    [60e9, 60_000],
    [3600e9, 900_000],
    [-1, 0],
  ])("of the format blob: %s ns are %d ms", (ns, expected) => {
    const config: ClientConfig =
      ns === undefined ? { storage } : { storage, formatBlobCacheDuration: ns };
    expect(formatBlobCacheDurationMs(config)).toBe(expected);
  });
});

describe("a password file", () => {
  it("holds base64 without newline, for its owner alone", async () => {
    const path = join(directory, "with-password.config");
    await writePasswordFile(path, "пароль-密码");
    expect(await readFile(passwordFilePath(path), "utf8")).toBe(
      btoa(String.fromCharCode(...utf8Encode("пароль-密码"))),
    );
    expect(passwordFilePath(path)).toBe(`${path}.kopia-password`);
    expect((await stat(passwordFilePath(path))).mode & 0o777).toBe(0o600);
    expect(await readPasswordFile(path)).toBe("пароль-密码");
    await removePasswordFile(path);
    expect(await readPasswordFile(path)).toBeUndefined();
  });

  it("with a newline at the end is read; one that is no base64 is refused", async () => {
    const path = join(directory, "odd.config");
    await writeFile(passwordFilePath(path), "cA==\n");
    expect(await readPasswordFile(path)).toBe("p");
    await writeFile(passwordFilePath(path), "hunter2!");
    const error = await readPasswordFile(path).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "DM_PASSWORD_FILE_INVALID" });
    expect(`${error}`).not.toContain("hunter2");
  });
});

describe("a token", () => {
  it("is URL-safe base64 of JSON with members in Kopia's order", () => {
    const token = encodeToken({ storage, password: "p<w" });
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
    const json = Buffer.from(token, "base64url").toString();
    expect(json).toBe(
      '{"version":"1","storage":{"type":"filesystem","config":{"path":"/backup","dirShards":null}},"password":"p\\u003cw"}',
    );
    expect(decodeToken(token)).toEqual({ storage, password: "p<w" });
    expect(decodeToken(encodeToken({ storage }))).toEqual({ storage });
  });

  it.each([
    ["no base64", "!!!", "DM_TOKEN_INVALID"],
    ["no JSON", Buffer.from("hunter2").toString("base64url"), "DM_TOKEN_INVALID"],
    [
      "no storage",
      Buffer.from('{"version":"1","password":"hunter2"}').toString("base64url"),
      "DM_TOKEN_INVALID",
    ],
    [
      "another version",
      Buffer.from('{"version":"2","storage":{"type":"s3","config":{}}}').toString("base64url"),
      "DM_TOKEN_UNSUPPORTED",
    ],
  ])("of %s is refused", (_, token, code) => {
    try {
      decodeToken(token);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code });
      expect(`${error} ${JSON.stringify(error)}`).not.toContain("hunter2");
    }
  });
});

it("a client is named as Kopia names it", () => {
  expect(defaultHostname("VM-1.example.COM")).toBe("vm-1");
  expect(defaultUsername("DOMAIN\\jane")).toBe("jane");
  expect(defaultUsername("jane")).toBe("jane");
  expect(defaultHostname()).toMatch(/^[^.A-Z]+$/);
  expect(defaultUsername()).not.toBe("");
  expect(toHex(utf8Encode(defaultUsername()))).not.toBe("");
});
