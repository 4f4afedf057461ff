// The key that is begun before the program has loaded: the very key, and only for what it was begun with.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { derivePasswordKey } from "@dm/encryption";
import { afterAll, describe, expect, it } from "vitest";
import { beginKey } from "../src/early-key.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-early-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const salt = Uint8Array.from({ length: 32 }, (_, index) => index);
const algorithm = "scrypt-65536-8-1";
const configPath = join(folder, "kopia.config");
const blobs = join(folder, "blobs");
mkdirSync(blobs);
writeFileSync(
  join(blobs, "kopia.repository.f"),
  JSON.stringify({ uniqueID: Buffer.from(salt).toString("base64"), keyAlgo: algorithm }),
);
writeFileSync(
  configPath,
  JSON.stringify({ storage: { type: "filesystem", config: { path: blobs } } }),
);
const list = ["--config-file", configPath, "snapshot", "list"];
const env = { KOPIA_PASSWORD: "secret" };

it("is the key that would be derived, for this password and salt alone", async () => {
  const early = beginKey(list, env)!;
  const key = await early("secret", { algorithm, salt });
  expect(Uint8Array.from(key!)).toEqual(await derivePasswordKey("secret", { algorithm, salt }));
  expect(early("other", { algorithm, salt })).toBeUndefined();
  expect(early("secret", { algorithm, salt: salt.slice(1) })).toBeUndefined();
  expect(early("secret", { algorithm: "pbkdf2-sha256-600000", salt })).toBeUndefined();
});

it("takes the configuration from the environment, and the password from its file", async () => {
  writeFileSync(`${configPath}.kopia-password`, Buffer.from("stored").toString("base64"));
  const early = beginKey(["ls"], { KOPIA_CONFIG_PATH: configPath });
  expect(await early!("stored", { algorithm, salt })).toHaveLength(32);
});

it.each([
  ["help is asked for", [...list, "--help"], env],
  ["help is asked for by its command", ["help", ...list], env],
  ["a password is on the command line", [...list, "--password=x"], env],
  ["a short password is on the command line", [...list, "-psecret"], env],
  ["the command opens nothing", ["--config-file", configPath, "benchmark", "hashing"], env],
  ["there is no configuration", ["--config-file", join(folder, "none"), "ls"], env],
])("is not begun when %s", (_why, argv, environment) => {
  expect(beginKey(argv, environment)).toBeUndefined();
});

describe("is not begun, and nothing fails, when", () => {
  const storage = { type: "filesystem", config: { path: blobs } };
  const uniqueID = Buffer.from(salt).toString("base64");
  it.each<[string, unknown, unknown]>([
    ["the format blob names no derivation", { storage }, { uniqueID }],
    ["the format blob names an unknown one", { storage }, { uniqueID, keyAlgo: "scrypt-x-8-1" }],
    ["the format blob has no salt", { storage }, { keyAlgo: algorithm }],
    ["the format blob is null", { storage }, null],
    ["the configuration is that of a server", { apiServer: { url: "https://x" } }, {}],
    ["the repository is in no directory", { storage: { type: "s3", config: { bucket: "b" } } }, {}],
    ["the configuration is a list", [], {}],
  ])("%s", (_what, config, format) => {
    const other = join(folder, "other.config");
    writeFileSync(other, JSON.stringify(config));
    writeFileSync(join(blobs, "kopia.repository.f"), JSON.stringify(format));
    expect(beginKey(["--config-file", other, "ls"], env)).toBeUndefined();
  });
});
