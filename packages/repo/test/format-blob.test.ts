// The codecs of the format blobs agree with recorded ones: derivation, envelope, decrypted JSON, blob configuration and
// the copy in packs, byte for byte in both directions; what was recorded as damaged is refused. Properties: what is
// encoded is decoded again, members unknown here survive, and every flipped bit is refused or harmless by position.
import { fromBase64, fromHex, isDmError, toHex, utf8Decode, utf8Encode } from "@dm/core";
import { derivePasswordKey } from "@dm/encryption";
import { loadGolden, loadVectors, seededRandom } from "@dm/fixtures";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeBlobConfig, encodeBlobConfig } from "../src/format/blob-config.ts";
import { newFormat } from "../src/format/create-format.ts";
import {
  encodeFormatBlob,
  openBlock,
  openFormat,
  parseFormatBlob,
  sealBlock,
  sealFormat,
} from "../src/format/format-blob.ts";
import {
  encodeFormatCopy,
  formatCopySearchBytes,
  recoverFormatCopy,
} from "../src/format/format-copy.ts";
import { decodeFormatJson, encodeFormatJson } from "../src/format/format-json.ts";
import { deriveRepositoryKey } from "../src/format/keys.ts";
import {
  assertFeaturesKnown,
  defaultEpochParameters,
  epochParameterProblems,
  formatProblems,
  type RepositoryFormat,
  unknownFeatures,
} from "../src/format/repository-format.ts";

interface Vector {
  readonly password: string;
  readonly wrongPassword: string;
  readonly uniqueID: string;
  readonly formatEncryptionKey: string;
  readonly repositoryBlob: string;
  readonly plaintext: string;
  readonly blobcfg: { readonly base64: string; readonly plaintext: string };
  readonly embeddedCopyBase64: string;
  readonly mustRejectEncryptedBlockFormatBase64: readonly string[];
}

const vectors: readonly Vector[] = loadVectors("keys").formatBlobs;
const published = loadVectors("format-test-vectors");
const blobId = "kopia.repository";

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (isDmError(error)) return error.code;
    throw error;
  }
  return undefined;
}

describe.each(vectors)("recorded format blob $#", (vector) => {
  const bytes = utf8Encode(vector.repositoryBlob);
  const passwordKey = fromHex(vector.formatEncryptionKey);
  const envelope = parseFormatBlob(bytes);

  it("is derived, opened and written again", async () => {
    const { keyAlgorithm, uniqueId } = envelope;
    const derived = await derivePasswordKey(vector.password, {
      algorithm: keyAlgorithm,
      salt: uniqueId,
    });
    expect(toHex(derived)).toBe(vector.formatEncryptionKey);
    expect(toHex(uniqueId)).toBe(vector.uniqueID);
    const format = openFormat(envelope, passwordKey);
    expect(utf8Decode(encodeFormatJson(format))).toBe(vector.plaintext);
    expect(utf8Decode(encodeFormatBlob(envelope))).toBe(vector.repositoryBlob);
    const nonce = envelope.encryptedBlock.subarray(0, 12);
    const again = sealFormat(envelope, format, { passwordKey, nonce });
    expect(utf8Decode(encodeFormatBlob(again))).toBe(vector.repositoryBlob);
  });

  it("does not open with another password or after damage", async () => {
    const wrong = await derivePasswordKey(vector.wrongPassword, {
      algorithm: envelope.keyAlgorithm,
      salt: envelope.uniqueId,
    });
    expect(codeOf(() => openFormat(envelope, wrong))).toBe("DM_PASSWORD_INVALID");
    expect(vector.mustRejectEncryptedBlockFormatBase64).toHaveLength(3);
    for (const block of vector.mustRejectEncryptedBlockFormatBase64) {
      const text = JSON.stringify({
        ...JSON.parse(vector.repositoryBlob),
        encryptedBlockFormat: block,
      });
      const expected =
        fromBase64(block).length < 28 ? "DM_FORMAT_BLOB_INVALID" : "DM_PASSWORD_INVALID";
      expect(codeOf(() => openFormat(parseFormatBlob(utf8Encode(text)), passwordKey))).toBe(
        expected,
      );
    }
  });

  it("has a blob configuration that is read and written", () => {
    const stored = fromBase64(vector.blobcfg.base64);
    const keys = { passwordKey, uniqueId: envelope.uniqueId };
    const plaintext = openBlock(stored, keys);
    expect(plaintext && utf8Decode(plaintext)).toBe(vector.blobcfg.plaintext);
    const config = decodeBlobConfig(plaintext!);
    expect(utf8Decode(encodeBlobConfig(config))).toBe(vector.blobcfg.plaintext);
    const sealed = sealBlock(encodeBlobConfig(config), { ...keys, nonce: stored.subarray(0, 12) });
    expect(toHex(sealed)).toBe(toHex(stored));
  });

  it("is copied into packs and found there", () => {
    const copy = fromBase64(vector.embeddedCopyBase64);
    expect(toHex(encodeFormatCopy(bytes))).toBe(toHex(copy));
    const rest = seededRandom(7).bytes(500);
    const front = new Uint8Array([...copy, ...rest]);
    const back = new Uint8Array([...rest, ...copy]);
    expect(toHex(recoverFormatCopy(front, front)!)).toBe(toHex(bytes));
    expect(toHex(recoverFormatCopy(back, back)!)).toBe(toHex(bytes));
    expect(recoverFormatCopy(rest, rest)).toBeUndefined();
    for (let at = 0; at < copy.length; at++) {
      const damaged = copy.slice();
      damaged[at]! ^= 1;
      const found = recoverFormatCopy(damaged, damaged);
      // One of the two lengths may break: the other end still answers.
      const isLength = at < 2 || at >= copy.length - 2;
      expect(found && toHex(found)).toBe(isLength ? toHex(bytes) : undefined);
    }
    for (let length = 0; length < copy.length - 2; length++) {
      const cut = copy.subarray(0, length);
      expect(recoverFormatCopy(cut, cut)).toBeUndefined();
    }
  });
});

it("the published examples hold", () => {
  const { formatBlock, formatCopy, inputs, localCache, maintenance, passwordKeys } = published;
  const uniqueId = fromHex(inputs.uniqueID);
  const passwordKey = fromHex(passwordKeys["scrypt-65536-8-1"]);
  const keys = { passwordKey, uniqueId };
  const sealed = sealBlock(utf8Encode(formatBlock.plaintext), {
    ...keys,
    nonce: fromHex(inputs.nonce),
  });
  expect(toHex(sealed)).toBe(formatBlock.ciphertext);
  expect(utf8Decode(openBlock(sealed, keys)!)).toBe(formatBlock.plaintext);
  expect(toHex(encodeFormatCopy(utf8Encode(formatCopy.raw)))).toBe(formatCopy.bytes);

  const format = newFormat({
    secret: fromHex(inputs.hmacSecret),
    masterKey: fromHex(inputs.masterKey),
  });
  const opened = { ...keys, format };
  expect(toHex(deriveRepositoryKey(opened, "local-cache-integrity", 16))).toBe(localCache.hmacKey);
  expect(toHex(deriveRepositoryKey(opened, "maintenance schedule", 32))).toBe(maintenance.key);
});

it("keys of a repository without password change hang on the password", () => {
  const changeable = newFormat({ version: 3 });
  const fixed: RepositoryFormat = { ...changeable, enablePasswordChange: false };
  const uniqueId = new Uint8Array(32).fill(1);
  const derive = (format: RepositoryFormat, password: number): string =>
    toHex(
      deriveRepositoryKey(
        { format, uniqueId, passwordKey: new Uint8Array(32).fill(password) },
        "maintenance schedule",
        32,
      ),
    );
  expect(derive(changeable, 2)).toBe(derive(changeable, 3));
  expect(derive(fixed, 2)).not.toBe(derive(fixed, 3));
});

it("packs of a version 1 repository begin with the format blob", () => {
  const { blobs } = loadGolden("v1-plain");
  const expected = toHex(blobs.get(blobId)!);
  const packs = [...blobs].filter(([id]) => /^[pq]/.test(id));
  expect(packs.length).toBeGreaterThan(0);
  for (const [, pack] of packs) {
    const head = pack.subarray(0, formatCopySearchBytes);
    const tail = pack.subarray(-formatCopySearchBytes);
    expect(toHex(recoverFormatCopy(head, tail)!)).toBe(expected);
  }
  const later = [...loadGolden("v3-empty").blobs].filter(([id]) => /^[pq]/.test(id));
  for (const [, pack] of later) expect(recoverFormatCopy(pack, pack)).toBeUndefined();
});

it("a format blob too long for packs is refused", () => {
  expect(() => encodeFormatCopy(new Uint8Array(65_000 - 32))).not.toThrow();
  expect(() => encodeFormatCopy(new Uint8Array(65_000 - 31))).toThrow(RangeError);
});

const name = fc.stringMatching(/^[a-zA-Z]{1,12}$/);
const json = fc.oneof(
  fc.constant("12345678901234567890"),
  fc.jsonValue().map((value) => JSON.stringify(value)),
);
const unknownMembers = fc
  .uniqueArray(
    fc.tuple(
      name.map((text) => `x-${text}`),
      json,
    ),
    { selector: ([key]) => key },
  )
  .filter((members) => members.length < 4);
const milliseconds = fc.integer({ min: 0, max: 400 * 24 * 3_600_000 });

const anyFormat: fc.Arbitrary<RepositoryFormat> = fc
  .record({
    hash: fc.constantFrom("BLAKE2B-256-128", "HMAC-SHA3-224"),
    encryption: fc.constantFrom("AES256-GCM-HMAC-SHA256", "CHACHA20-POLY1305-HMAC-SHA256"),
    percent: fc.integer({ min: 0, max: 100 }),
    secret: fc.uint8Array({ maxLength: 40 }),
    masterKey: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    version: fc.constantFrom(1 as const, 2 as const, 3 as const),
    maxPackSizeBytes: fc.integer({ min: 10 << 20, max: 120 << 20 }),
    indexVersion: fc.constantFrom(1 as const, 2 as const),
    refresh: milliseconds,
    margin: milliseconds,
    enablePasswordChange: fc.boolean(),
    splitter: fc.string(),
    lock: fc.option(
      fc.record({ ownerId: fc.string(), created: fc.bigInt(0n, 1n << 61n), notice: milliseconds }),
    ),
    features: fc.array(fc.record({ feature: fc.string(), warn: fc.boolean(), unknownMembers }), {
      maxLength: 3,
    }),
    unknownMembers,
    unknownSiblings: unknownMembers,
    unknownEpochMembers: unknownMembers,
  })
  .map((made) => ({
    hash: made.hash,
    encryption: made.encryption,
    ecc: made.percent === 0 ? "" : "REED-SOLOMON-CRC32",
    eccOverheadPercent: made.percent,
    secret: made.secret,
    masterKey: made.masterKey,
    version: made.version,
    maxPackSizeBytes: made.maxPackSizeBytes,
    indexVersion: made.indexVersion,
    epochParameters: {
      ...defaultEpochParameters,
      epochRefreshFrequencyMs: made.refresh,
      cleanupSafetyMarginMs: made.margin,
      unknownMembers: made.unknownEpochMembers,
    },
    enablePasswordChange: made.enablePasswordChange,
    splitter: made.splitter,
    ...(made.lock
      ? {
          upgradeLock: {
            ownerId: made.lock.ownerId,
            creationTimeNs: made.lock.created,
            advanceNoticeDurationMs: made.lock.notice,
            ioDrainTimeoutMs: 900_000,
            statusPollIntervalMs: 0,
            message: "",
            maxPermittedClockDriftMs: 300_000,
            unknownMembers: [],
          },
        }
      : {}),
    requiredFeatures: made.features.map(({ feature, unknownMembers: kept, warn }) => ({
      feature,
      ifNotUnderstood: {
        warn,
        message: "m",
        url: "",
        upgradeToVersion: "0.19",
        unknownMembers: kept,
      },
      unknownMembers: kept,
    })),
    unknownMembers: made.unknownMembers,
    unknownSiblings: made.unknownSiblings,
  }));

it("decodes what it encoded, unknown members as the very text", () => {
  fc.assert(
    fc.property(anyFormat, (format) => {
      const encoded = encodeFormatJson(format);
      const decoded = decodeFormatJson(encoded, blobId);
      expect(decoded).toEqual(format);
      expect(utf8Decode(encodeFormatJson(decoded))).toBe(utf8Decode(encoded));
    }),
  );
});

const stored = JSON.parse(vectors[4]!.plaintext).format;
const decodeStored = (members: object): RepositoryFormat =>
  decodeFormatJson(utf8Encode(JSON.stringify({ format: { ...stored, ...members } })), blobId);

it("fills in what zero and absent mean", () => {
  const format = decodeStored({
    maxPackSize: 0,
    indexVersion: 0,
    secret: null,
    requiredFeatures: null,
    ecc: "",
  });
  expect(format).toMatchObject({
    maxPackSizeBytes: 20_971_520,
    indexVersion: 1,
    ecc: "",
    requiredFeatures: [],
  });
  expect(format.secret).toHaveLength(0);
  expect(utf8Decode(encodeFormatJson(format))).not.toContain('"secret"');
});

it.each([
  ["version 0", { version: 0 }, "version"],
  ["version 4", { version: 4 }, "version"],
  ["index version 3", { indexVersion: 3 }, "indexVersion"],
  ["an unknown hash", { hash: "MD5" }, "hash"],
  ["no hash", { hash: null }, "hash"],
  ["an old encryption", { encryption: "SALSA20-HMAC" }, "encryption"],
  ["an unknown error correction", { ecc: "PARITY", eccOverheadPercent: 5 }, "ecc"],
])("refuses %s by name", (_, members, member) => {
  try {
    decodeStored(members);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "DM_FORMAT_UNSUPPORTED", details: { member } });
    expect((error as Error).message).toContain("known here");
  }
});

it.each([
  ["a text for a number", { version: "3" }],
  ["a fraction", { maxPackSize: 2.5 }],
  ["keys that are not base64", { masterKey: "???" }],
  ["a list for an object", { epochParameters: [] }],
  ["a feature without name", { requiredFeatures: [{}] }],
  ["a time that is none", { upgradeLock: { ownerID: "me", creationTime: "yesterday" } }],
])("refuses %s in the decrypted part", (_, members) => {
  expect(codeOf(() => decodeStored(members))).toBe("DM_FORMAT_BLOB_INVALID");
});

it.each([
  ["nothing", ""],
  ["no JSON", "{"],
  ["another value", "[]"],
  ["an object without members", "{}"],
  ["a number for a text", '{"uniqueID":1}'],
  ["a short unique id", '{"uniqueID":"AAAA","encryption":"AES256_GCM","encryptedBlockFormat":""}'],
  ["deep nesting", `{"a":${"[".repeat(5000)}${"]".repeat(5000)},"uniqueID":""}`],
])("refuses %s as envelope", (_, text) => {
  expect(codeOf(() => parseFormatBlob(utf8Encode(text)))).toBe("DM_FORMAT_BLOB_INVALID");
});

it("refuses another encryption of the block by name", () => {
  const text = vectors[0]!.repositoryBlob.replace("AES256_GCM", "AES256_CTR");
  expect(codeOf(() => parseFormatBlob(utf8Encode(text)))).toBe("DM_FORMAT_UNSUPPORTED");
});

it("keeps unknown members of the envelope and of the blob configuration", () => {
  const text = vectors[0]!.repositoryBlob.replace("\n}\n", ',\n  "later": {"a": 1e400}\n}\n');
  expect(utf8Decode(encodeFormatBlob(parseFormatBlob(utf8Encode(text))))).toBe(text);
  const config = '{"retentionMode":"COMPLIANCE","retentionPeriod":86400000000000,"later":[1]}';
  expect(utf8Decode(encodeBlobConfig(decodeBlobConfig(utf8Encode(config))))).toBe(config);
});

it.each([
  ["half a retention", '{"retentionMode":"COMPLIANCE"}', "DM_BLOB_CONFIG_INVALID"],
  ["the other half", '{"retentionPeriod":86400000000000}', "DM_BLOB_CONFIG_INVALID"],
  [
    "a period below zero",
    '{"retentionMode":"COMPLIANCE","retentionPeriod":-1}',
    "DM_BLOB_CONFIG_INVALID",
  ],
  ["no object", "7", "DM_BLOB_CONFIG_INVALID"],
  ["no JSON", "", "DM_BLOB_CONFIG_INVALID"],
  [
    "an unknown mode",
    '{"retentionMode":"EVER","retentionPeriod":1}',
    "DM_RETENTION_MODE_UNSUPPORTED",
  ],
])("refuses %s as blob configuration", (_, text, code) => {
  expect(codeOf(() => decodeBlobConfig(utf8Encode(text)))).toBe(code);
});

it("a required feature that is unknown here is fatal unless it only warns", () => {
  const hints = { message: "needs colour", url: "", upgradeToVersion: "9.1" };
  const format = decodeStored({
    requiredFeatures: [
      { feature: "index-v2" },
      { feature: "colour", ifNotUnderstood: { warn: true, ...hints } },
    ],
  });
  expect(() => assertFeaturesKnown(format)).not.toThrow();
  expect(unknownFeatures(format).warnings.map(({ feature }) => feature)).toEqual(["colour"]);
  const strict = decodeStored({
    requiredFeatures: [{ feature: "colour", ifNotUnderstood: hints }],
  });
  expect(() => assertFeaturesKnown(strict)).toThrow(
    /"colour" \(needs colour, upgrade to version 9\.1\)/,
  );
});

it.each([
  ["EpochRefreshFrequency", { epochRefreshFrequencyMs: 0 }],
  [
    "three times EpochRefreshFrequency",
    { epochRefreshFrequencyMs: 9 * 3_600_000, cleanupSafetyMarginMs: 1e9 },
  ],
  ["CleanupSafetyMargin", { cleanupSafetyMarginMs: 59 * 60_000 }],
  ["MinEpochDuration", { minEpochDurationMs: 599_999, epochRefreshFrequencyMs: 60_000 }],
  ["FullCheckpointFrequency", { fullCheckpointFrequency: 0 }],
  ["EpochAdvanceOnCountThreshold", { epochAdvanceOnCountThreshold: 9 }],
  [
    "EpochAdvanceOnTotalSizeBytesThreshold",
    { epochAdvanceOnTotalSizeBytesThreshold: (1 << 20) - 1 },
  ],
  ["DeleteParallelism", { deleteParallelism: -1 }],
])("%s has a limit", (member, change) => {
  const problems = epochParameterProblems({ ...defaultEpochParameters, ...change });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(member);
  expect(epochParameterProblems({ ...defaultEpochParameters, ...change, enabled: false })).toEqual(
    [],
  );
  expect(epochParameterProblems(defaultEpochParameters)).toEqual([]);
});

it.each([
  ["maxPackSize", { maxPackSizeBytes: (10 << 20) - 1 }],
  ["maxPackSize", { maxPackSizeBytes: (120 << 20) + 1 }],
  ["masterKey", { masterKey: new Uint8Array(0) }],
  ["eccOverheadPercent", { ecc: "REED-SOLOMON-CRC32", eccOverheadPercent: 101 }],
  ["eccOverheadPercent", { eccOverheadPercent: 5 }],
])("%s has a limit, %o", (member, change) => {
  expect(formatProblems({ ...newFormat({}), ...change })).toEqual([
    expect.stringContaining(member),
  ]);
  expect(formatProblems(newFormat({}))).toEqual([]);
});

it("every truncation is refused, and every flipped bit is refused or changes only what informs people", () => {
  const vector = vectors[4]!;
  const bytes = utf8Encode(vector.repositoryBlob);
  const passwordKey = fromHex(vector.formatEncryptionKey);
  // The key as if derived anew: another unique id gives another key.
  const open = (blob: Uint8Array): string => {
    const envelope = parseFormatBlob(blob);
    const isSame =
      toHex(envelope.uniqueId) === vector.uniqueID && envelope.keyAlgorithm === "scrypt-65536-8-1";
    const format = openFormat(envelope, isSame ? passwordKey : new Uint8Array(32));
    return utf8Decode(encodeFormatJson(format));
  };
  const refusals = ["DM_FORMAT_BLOB_INVALID", "DM_FORMAT_UNSUPPORTED", "DM_PASSWORD_INVALID"];
  // Without its last brace it is no JSON; without the final newline nothing is lost.
  for (let length = 0; length < bytes.length - 1; length++) {
    expect(codeOf(() => open(bytes.subarray(0, length)))).toBe("DM_FORMAT_BLOB_INVALID");
  }
  const text = vector.repositoryBlob;
  const harmless = new Set<string>();
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    const code = codeOf(() => expect(open(damaged)).toBe(vector.plaintext));
    if (code !== undefined) expect(refusals).toContain(code);
    else {
      const line = text.slice(0, bit >> 3).split("\n").length;
      // The bits of the last character before padding that stand for no byte.
      const isSpare = text[(bit >> 3) + 1] === "=";
      harmless.add(isSpare ? `spare bits in line ${line}` : `line ${line}`);
    }
  }
  // Lines 2 to 4 say which tool and build made the repository; 5 is the unique id, 8 the encrypted block.
  const lines = text.split("\n");
  const padded = [5, 8].filter((line) => lines[line - 1]!.includes("="));
  const spare = padded.map((line) => `spare bits in line ${line}`);
  expect([...harmless].sort()).toEqual(["line 2", "line 3", "line 4", ...spare]);
});
