// The worked example of docs/format/encryption.md is true, line by line, and its tables name what there is.
import { readFileSync } from "node:fs";
import { fromHex, toHex, utf8Decode, utf8Encode } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  createEncryption,
  derivePasswordKey,
  encryptionAlgorithms,
  hkdfSha256,
  hmacSha256,
  keyDerivationAlgorithms,
} from "../src/index.ts";

const page = readFileSync(new URL("../../../docs/format/encryption.md", import.meta.url), "utf8");
const example = /```hex\n([^`]+)```/.exec(page)![1]!.trim();
const rows = new Map(example.split("\n").map((row) => row.split(/\s+/, 2) as [string, string]));
const row = (name: string): Uint8Array => fromHex(rows.get(name)!);

it("shows the keys", () => {
  const secret = hkdfSha256(row("masterKey"), {
    salt: utf8Encode("encryption"),
    info: new Uint8Array(0),
    length: 32,
  });
  expect(toHex(secret)).toBe(rows.get("S"));
  expect(toHex(hmacSha256(secret, row("iv")))).toBe(rows.get("key"));
});

describe.each(Object.keys(encryptionAlgorithms))("%s", (algorithm) => {
  it("shows the stored form", () => {
    const stored = row(algorithm.replace("-HMAC-SHA256", ""));
    const encryption = createEncryption(algorithm, row("masterKey"));
    expect(toHex(encryption.decrypt(stored, row("iv")))).toBe(rows.get("plaintext"));
    const again = encryption.encrypt(row("plaintext"), row("iv"), { nonce: row("nonce") });
    expect(toHex(again)).toBe(toHex(stored));
  });
});

it.each(Object.keys(keyDerivationAlgorithms))("shows a key by %s", async (algorithm) => {
  const password = utf8Decode(row("password"));
  const key = await derivePasswordKey(password, { algorithm, salt: row("uniqueID") });
  expect(toHex(key)).toBe(rows.get(algorithm.split("-", 1)[0]!));
});

it("names every algorithm in its tables", () => {
  const named = [...page.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name);
  expect(named).toEqual([
    ...Object.keys(encryptionAlgorithms),
    ...Object.keys(keyDerivationAlgorithms),
  ]);
});
