// The part for threads seals and opens a content by itself, and loads no schemas: they are most of the package's code.
import { readFileSync } from "node:fs";
import { utf8Decode, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { contentIdFromHash } from "../src/content-id.ts";
import { ContentDecoder, contentIv, createCrypter } from "../src/sealing.ts";
import { bytesOf } from "./new-repository.ts";

it("opens what it has sealed", () => {
  const crypter = createCrypter({
    hash: "BLAKE2B-256-128",
    encryption: "AES256-GCM-HMAC-SHA256",
    ecc: "",
    eccOverheadPercent: 0,
    secret: bytesOf(32),
    masterKey: bytesOf(32),
  });
  const plaintext = utf8Encode("a content");
  const digest = crypter.hash.digest(plaintext);
  const sealed = crypter.seal(plaintext, contentIv(digest));
  const entry = {
    contentId: contentIdFromHash("", digest),
    timestampSeconds: 1,
    packBlobId: "p00",
    packOffset: 0,
    packedLength: sealed.length,
    originalLength: plaintext.length,
    compressionHeaderId: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
  };
  expect(utf8Decode(new ContentDecoder(crypter).decode(entry, sealed))).toBe("a content");
});

it("loads the primitives, and no schemas", () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const follow = (url: URL): void => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const statements = readFileSync(url, "utf8").matchAll(
      /^(?:import|export) (?!type)[^;]*? from "([^"]+)";/gm,
    );
    for (const [, from] of statements)
      if (from!.startsWith(".")) follow(new URL(from!, url));
      else packages.add(from!);
  };
  follow(new URL("../src/sealing.ts", import.meta.url));
  expect([...packages].sort()).toEqual([
    "@dm/compression",
    "@dm/core",
    "@dm/encryption",
    "@dm/hashing",
    "@dm/storage",
  ]);
});
