// Every golden repository's format opens and is what Kopia reports; damaged ones are refused with the blob named; what
// we create opens again, with the settings asked for, in all versions; creation refuses what it must not replace.
import {
  ConflictError,
  isDmError,
  type LogFields,
  type Logger,
  manualClock,
  silentLogger,
  toHex,
  utf8Decode,
} from "@dm/core";
import { applyPatches, blobsOf, corruptCases, goldenRepositories, loadGolden } from "@dm/fixtures";
import { forward } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { changePassword } from "../src/format/change-format.ts";
import {
  type CreateFormatOptions,
  createRepositoryFormat,
  newFormat,
} from "../src/format/create-format.ts";
import { encodeFormatJson } from "../src/format/format-json.ts";
import { openRepositoryFormat, reloadFormat } from "../src/format/format-store.ts";
import { derivedOnce, quickKey, storeWith } from "./format-helpers.ts";

const password = "correct horse";
const create = async (
  store: Parameters<typeof createRepositoryFormat>[0],
  options: Partial<CreateFormatOptions> = {},
) => createRepositoryFormat(store, { password, deriveKey: quickKey, ...options });
const open = async (store: Parameters<typeof openRepositoryFormat>[0], secret = password) =>
  openRepositoryFormat(store, { password: secret, deriveKey: quickKey });

describe.each(goldenRepositories())("%s", (name) => {
  it("opens, and is what Kopia reports", async () => {
    const { blobs, expected } = loadGolden(name);
    const store = storeWith([...blobs].filter(([id]) => id.startsWith("kopia.")));
    const opened = await openRepositoryFormat(store, {
      password: expected.password,
      deriveKey: derivedOnce,
    });
    const { blobConfig, format } = opened;
    expect(toHex(opened.uniqueId)).toBe(expected.format.uniqueID);
    expect(toHex(format.secret)).toBe(expected.format.hmacSecret);
    expect(toHex(format.masterKey)).toBe(expected.format.masterKey);
    expect(toHex(opened.formatBlob)).toBe(toHex(blobs.get("kopia.repository")!));

    const written = JSON.parse(utf8Decode(encodeFormatJson(format))).format;
    const { contentFormat, objectFormat } = expected.repositoryStatus;
    expect(written).toMatchObject({ ...contentFormat, ...objectFormat });
    expect({
      ecc: format.ecc,
      eccOverheadPercent: format.eccOverheadPercent,
      mutableParameters: {
        version: written.version,
        maxPackSize: written.maxPackSize,
        indexVersion: written.indexVersion,
        epochParameters: written.epochParameters,
      },
      supportsPasswordChange: format.enablePasswordChange,
    }).toEqual({
      ecc: expected.format.ecc,
      eccOverheadPercent: expected.format.eccOverheadPercent,
      mutableParameters: expected.format.mutableParameters,
      supportsPasswordChange: expected.format.supportsPasswordChange,
    });
    const { retentionMode, retentionPeriod } = expected.repositoryStatus.blobRetention;
    expect(blobConfig.retention).toEqual(
      retentionMode ? { mode: retentionMode, periodMs: retentionPeriod / 1e6 } : undefined,
    );
  });
});

it("the password from before a change does not open", async () => {
  const { blobs, expected } = loadGolden("v3-password-changed");
  const store = storeWith(blobs);
  const options = { password: expected.oldPassword, deriveKey: derivedOnce };
  await expect(openRepositoryFormat(store, options)).rejects.toMatchObject({
    code: "DM_PASSWORD_INVALID",
  });
});

const outcomes: Readonly<Record<string, string | undefined>> = {
  "format-body": "DM_PASSWORD_INVALID",
  "format-truncated": "DM_FORMAT_BLOB_INVALID",
  "format-missing": "DM_REPOSITORY_NOT_FOUND",
  // Another salt, or a letter that is not base64.
  "format-uniqueid": "DM_PASSWORD_INVALID|DM_FORMAT_BLOB_INVALID",
  "blobcfg-body": "DM_BLOB_CONFIG_ALTERED",
  "blobcfg-missing": undefined,
};

const damaged = corruptCases().filter(({ name }) => name.split("/")[1]! in outcomes);

it.each(damaged)("$name is treated as it should be", async ({ name, patches, repo }) => {
  const { expected, files } = loadGolden(repo);
  applyPatches(files, patches);
  const blobs = blobsOf(files);
  const store = storeWith([...blobs].filter(([id]) => id.startsWith("kopia.")));
  const error = await openRepositoryFormat(store, {
    password: expected.password,
    deriveKey: derivedOnce,
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const outcome = outcomes[name.split("/")[1]!];
  if (outcome === undefined) expect(error).toBeUndefined();
  else {
    if (!isDmError(error)) throw error;
    expect(outcome.split("|")).toContain(error.code);
    const blobId = name.includes("blobcfg") ? "kopia.blobcfg" : "kopia.repository";
    expect(error.details).toMatchObject({ blobId });
    expect(error.message).toContain(blobId);
  }
});

it("the damaged repositories cover all six cases", () => {
  expect(new Set(damaged.map(({ name }) => name.split("/")[1]))).toEqual(
    new Set(Object.keys(outcomes)),
  );
});

describe.each([1, 2, 3] as const)("version %d", (version) => {
  it("is created with its defaults and opens again", async () => {
    const store = storeWith();
    const created = await createRepositoryFormat(store, {
      password,
      format: { version },
      deriveKey: derivedOnce,
    });
    const opened = await openRepositoryFormat(store, { password, deriveKey: derivedOnce });
    expect(utf8Decode(encodeFormatJson(opened.format))).toBe(
      utf8Decode(encodeFormatJson(created.format)),
    );
    expect(toHex(opened.passwordKey)).toBe(toHex(created.passwordKey));
    expect(toHex(opened.formatBlob)).toBe(toHex(created.formatBlob));
    expect(opened.uniqueId).toHaveLength(32);
    expect(opened.format.secret).toHaveLength(32);
    expect(opened.format.masterKey).toHaveLength(32);

    // The parameters of an empty repository that Kopia made.
    const golden = loadGolden(version === 1 ? "v1-empty" : "v3-empty").expected.repositoryStatus;
    const written = JSON.parse(utf8Decode(encodeFormatJson(created.format))).format;
    const { masterKey: _master, secret: _secret, ...rest } = written;
    expect(rest).toEqual({ ...golden.contentFormat, ...golden.objectFormat, version });
    // Without retention: nonce, `{}` and tag.
    expect((await store.get("kopia.blobcfg")).length).toBe(30);
  });
});

it("is created with other settings", async () => {
  const store = storeWith();
  const format = {
    hash: "BLAKE3-256",
    encryption: "CHACHA20-POLY1305-HMAC-SHA256",
    eccOverheadPercent: 5,
    maxPackSizeBytes: 40 << 20,
    epochParameters: { fullCheckpointFrequency: 3 },
    requiredFeatures: [
      {
        feature: "index-v2",
        ifNotUnderstood: { warn: false, message: "", url: "", upgradeToVersion: "" },
      },
    ],
  };
  await create(store, {
    format,
    keyAlgorithm: "pbkdf2-sha256-600000",
    uniqueId: new Uint8Array(16).fill(9),
  });
  const opened = await open(store);
  expect(opened).toMatchObject({
    keyAlgorithm: "pbkdf2-sha256-600000",
    uniqueId: new Uint8Array(16).fill(9),
  });
  expect(opened.format).toMatchObject({
    ...format,
    ecc: "REED-SOLOMON-CRC32",
    requiredFeatures: [{ feature: "index-v2" }],
  });
  expect(opened.format.epochParameters.enabled).toBe(true);
});

it("version 1 takes index version 2, but neither error correction nor epochs", () => {
  const format = newFormat({
    version: 1,
    indexVersion: 2,
    ecc: "REED-SOLOMON-CRC32",
    eccOverheadPercent: 5,
  });
  expect(format).toMatchObject({
    version: 1,
    indexVersion: 2,
    ecc: "",
    eccOverheadPercent: 0,
    enablePasswordChange: false,
  });
  expect(() => newFormat({ version: 1, epochParameters: { enabled: true } })).toThrow(RangeError);
});

it.each([
  ["hash", { hash: "MD5" }],
  ["encryption", { encryption: "NONE" }],
  ["splitter", { splitter: "DYNAMIC-3M-BUZHASH" }],
  ["ecc", { ecc: "PARITY", eccOverheadPercent: 1 }],
  ["version", { version: 4 as never }],
  ["indexVersion", { indexVersion: 3 as never }],
])("an unknown %s is refused by name, and nothing is stored", async (member, format) => {
  const store = storeWith();
  await expect(create(store, { format })).rejects.toMatchObject({
    code: "DM_FORMAT_UNSUPPORTED",
    details: { member },
  });
  expect(store.blobs.size).toBe(0);
});

it.each([
  ["a pack size below 10 MiB", { format: { maxPackSizeBytes: 1 << 20 } }],
  ["a pack size above 120 MiB", { format: { maxPackSizeBytes: 121 << 20 } }],
  ["epochs that are too short", { format: { epochParameters: { minEpochDurationMs: 1000 } } }],
  [
    "a retention below 24 hours",
    { retention: { mode: "COMPLIANCE" as const, periodMs: 86_399_999 } },
  ],
  ["an empty password", { password: "" }],
  ["a short unique id", { uniqueId: new Uint8Array(15) }],
])("%s is refused, and nothing is stored", async (_, options) => {
  const store = storeWith();
  await expect(create(store, options)).rejects.toThrow(RangeError);
  expect(store.blobs.size).toBe(0);
});

it("retention is recorded, and both blobs are put under it", async () => {
  const store = storeWith();
  const retention = { mode: "COMPLIANCE" as const, periodMs: 48 * 3_600_000 };
  await create(store, { retention });
  expect([...store.lockedUntilNs.keys()].sort()).toEqual(["kopia.blobcfg", "kopia.repository"]);
  expect((await open(store)).blobConfig.retention).toEqual(retention);
  const unable = {
    ...forward(storeWith()),
    features: { ...store.features, retention: false },
  };
  await expect(create(unable, { retention })).rejects.toMatchObject({
    code: "DM_STORE_OPTION_UNSUPPORTED",
  });
});

it.each([
  ["a repository", "kopia.repository", "DM_REPOSITORY_EXISTS"],
  ["a lone blob configuration", "kopia.blobcfg", "DM_REPOSITORY_EXISTS"],
  ["any other blob", "udmrepo.Repository", "DM_STORE_NOT_EMPTY"],
])("a store that holds %s is left alone", async (_, id, code) => {
  const store = storeWith([[id, new Uint8Array(3)]]);
  await expect(create(store)).rejects.toMatchObject({ code, details: { blobId: id } });
  expect([...store.blobs.keys()]).toEqual([id]);
});

it("other blobs are accepted on request, a repository never", async () => {
  const store = storeWith([["udmrepo.Repository", new Uint8Array(3)]]);
  await create(store, { allowNonEmpty: true });
  await expect(create(store, { allowNonEmpty: true })).rejects.toMatchObject({
    code: "DM_REPOSITORY_EXISTS",
  });
});

it("of racing creators exactly one succeeds, and its repository opens", async () => {
  const store = storeWith();
  const passwords = ["a", "b", "c", "d"];
  const results = await Promise.allSettled(
    passwords.map((secret) => create(store, { password: secret })),
  );
  const winners = passwords.filter((_, index) => results[index]!.status === "fulfilled");
  expect(winners).toHaveLength(1);
  await open(store, winners[0]!);
  for (const result of results) {
    if (result.status === "rejected") expect(result.reason).toBeInstanceOf(ConflictError);
  }
});

it("a put that succeeded but seemed to fail, and was tried again, is no conflict", async () => {
  const store = storeWith();
  const retrying = {
    ...forward(store),
    put: async (id: string, data: Uint8Array, options?: Parameters<typeof store.put>[2]) => {
      await store.put(id, data, options);
      await store.put(id, data, options);
    },
  };
  await create(retrying);
  await open(store);
});

it("a missing blob configuration means no retention", async () => {
  const store = storeWith();
  await create(store);
  await store.delete("kopia.blobcfg");
  expect((await open(store)).blobConfig).toEqual({});
});

it("an unknown required feature stops, or only warns", async () => {
  const feature = (warn: boolean) => ({
    feature: "colour",
    ifNotUnderstood: { warn, message: "", url: "", upgradeToVersion: "" },
  });
  const strict = storeWith();
  await create(strict, { format: { requiredFeatures: [feature(false)] } });
  await expect(open(strict)).rejects.toMatchObject({
    code: "DM_FEATURE_UNSUPPORTED",
    details: { features: ["colour"] },
  });

  const lenient = storeWith();
  await create(lenient, { format: { requiredFeatures: [feature(true)] } });
  const warnings: LogFields[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (_message, fields = {}) => warnings.push(fields),
  };
  await openRepositoryFormat(lenient, { password, deriveKey: quickKey, logger });
  expect(warnings).toEqual([{ feature: 'feature "colour"' }]);
});

it("the wrong password is refused in words that admit damage", async () => {
  const store = storeWith();
  await create(store);
  await expect(open(store, "wrong horse")).rejects.toThrow(/wrong, or the blob is damaged/);
});

it("an empty store holds no repository", async () => {
  await expect(open(storeWith())).rejects.toMatchObject({
    code: "DM_REPOSITORY_NOT_FOUND",
  });
});

it("an unknown derivation is refused, also when it is empty", async () => {
  for (const keyAlgorithm of ["scrypt-1024-8-1", ""]) {
    const store = storeWith();
    await create(store);
    const blob = JSON.parse(utf8Decode(await store.get("kopia.repository")));
    await store.put(
      "kopia.repository",
      new TextEncoder().encode(JSON.stringify({ ...blob, keyAlgo: keyAlgorithm })),
    );
    const error = await openRepositoryFormat(store, { password }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: "UnsupportedError" });
  }
});

it("is read again without the password, and notices another repository", async () => {
  const store = storeWith();
  const clock = manualClock(5n);
  const opened = await create(store, { clock });
  clock.advance(1000);
  const reloaded = await reloadFormat(store, opened, { clock });
  expect(reloaded).toMatchObject({ loadedAtNs: 1_000_000_005n, uniqueId: opened.uniqueId });
  for (const id of ["kopia.blobcfg", "kopia.repository"]) await store.delete(id);
  await create(store);
  await expect(reloadFormat(store, opened)).rejects.toMatchObject({
    code: "DM_REPOSITORY_REPLACED",
  });
});

it("an abort reaches the caller as it is", async () => {
  const store = storeWith();
  await create(store);
  const signal = AbortSignal.abort("enough");
  await expect(openRepositoryFormat(store, { password, deriveKey: quickKey, signal })).rejects.toBe(
    "enough",
  );
});

it("a password change or a creation between the two reads leaves no old configuration", async () => {
  const memory = storeWith();
  const retention = { mode: "GOVERNANCE", periodMs: 86_400_000 } as const;
  const interrupted = (between: () => Promise<unknown>) => {
    let done: Promise<unknown> | undefined;
    return {
      ...forward(memory),
      async get(id: string, options?: object) {
        // Both are asked for at once; the second is read after what happens in between.
        if (id === "kopia.blobcfg" && !done) return memory.get(id, options);
        done ??= between();
        await done;
        return memory.get(id, options);
      },
    };
  };
  const created = await openRepositoryFormat(
    interrupted(() => create(memory, { retention })),
    { password, deriveKey: quickKey },
  );
  expect(created.blobConfig.retention).toEqual(retention);
  const change = { newPassword: "new", deriveKey: quickKey };
  const between = () => changePassword(memory, created, change);
  const opened = await open(interrupted(between), "new");
  expect(opened.blobConfig.retention).toEqual(retention);
});
