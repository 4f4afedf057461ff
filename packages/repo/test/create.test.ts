// A new repository has Kopia's defaults, an owner of maintenance, and takes nobody else's place.
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { createRepository, readMaintenanceParameters } from "../src/index.ts";
import { quickKey } from "./format-helpers.ts";
import { kinds, newRepository, password } from "./new-repository.ts";

const options = { password, deriveKey: quickKey };

describe("creating", () => {
  it("uses Kopia's defaults", async () => {
    const { repository, store } = await newRepository();
    expect(repository.format).toMatchObject({
      hash: "BLAKE2B-256-128",
      encryption: "AES256-GCM-HMAC-SHA256",
      splitter: "DYNAMIC-4M-BUZHASH",
      version: 3,
      indexVersion: 2,
      maxPackSizeBytes: 20 << 20,
      ecc: "",
    });
    expect(kinds(store)).toMatchObject({ "kopia.repository": 1, "kopia.blobcfg": 1, q: 1, xn: 1 });
    expect(await readMaintenanceParameters(repository)).toMatchObject({
      owner: "u@h",
      quick: { enabled: true },
      full: { enabled: true },
    });
  });

  it("can name another owner of maintenance", async () => {
    const { repository } = await newRepository({}, { maintenanceOwner: "nobody@nowhere" });
    expect((await readMaintenanceParameters(repository)).owner).toBe("nobody@nowhere");
  });

  it("refuses a store that holds a repository, or anything else", async () => {
    const { store } = await newRepository();
    await expect(createRepository(store, options)).rejects.toMatchObject({
      code: "DM_REPOSITORY_EXISTS",
    });
    const used = memoryStore({ blobs: new Map([["x", new Uint8Array(1)]]) });
    await expect(createRepository(used, options)).rejects.toMatchObject({
      code: "DM_STORE_NOT_EMPTY",
    });
  });

  it.each([
    { hash: "MD5" },
    { encryption: "ROT13" },
    { splitter: "KNIFE" },
    { ecc: "HOPE", eccOverheadPercent: 5 },
    { version: 4 as 3 },
  ])("refuses what nobody knows: %j", async (format) => {
    const store = memoryStore();
    await expect(createRepository(store, { ...options, format })).rejects.toMatchObject({
      code: expect.stringMatching(/^DM_/),
    });
    expect(store.blobs.size).toBe(0);
  });

  it("of two creators at once, one wins", async () => {
    const store = memoryStore();
    const results = await Promise.allSettled([
      createRepository(store, options),
      createRepository(store, options),
    ]);
    expect(results.filter(({ status }) => status === "fulfilled").length).toBe(1);
  });
});
