// The environment decides about the algorithms of a new repository, and only with names that exist.
import { memoryStore } from "@dm/storage";
import { expect, it } from "vitest";
import { createRepositoryFormat, formatFromEnvironment } from "../src/index.ts";

const documented = {
  KOPIA_HASHING_ALGORITHM: "BLAKE3-256",
  KOPIA_ENCRYPTION_ALGORITHM: "CHACHA20-POLY1305-HMAC-SHA256",
  KOPIA_SPLITTER_ALGORITHM: "DYNAMIC-8M-RABINKARP",
};

it("makes a repository of the algorithms that the documentation names", async () => {
  const { format, ignored } = formatFromEnvironment(documented);
  expect(ignored).toEqual([]);
  const opened = await createRepositoryFormat(memoryStore(), {
    password: "static-passw0rd",
    format,
    deriveKey: async () => new Uint8Array(32),
  });
  expect(opened.format).toMatchObject({
    hash: "BLAKE3-256",
    encryption: "CHACHA20-POLY1305-HMAC-SHA256",
    splitter: "DYNAMIC-8M-RABINKARP",
  });
});

it("leaves the defaults where nothing is set, and says what names nothing", () => {
  expect(formatFromEnvironment({ KOPIA_HASHING_ALGORITHM: "" })).toEqual({
    format: {},
    ignored: [],
  });
  expect(
    formatFromEnvironment({ ...documented, KOPIA_SPLITTER_ALGORITHM: "toString" }),
  ).toMatchObject({
    format: { hash: "BLAKE3-256", encryption: "CHACHA20-POLY1305-HMAC-SHA256" },
    ignored: [{ variable: "KOPIA_SPLITTER_ALGORITHM", value: "toString" }],
  });
});
