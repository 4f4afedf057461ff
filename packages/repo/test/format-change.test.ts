// Changing the password and parameters: the result opens with the new password only; a process that dies before any
// change of the store leaves a repository that opens with one of the two passwords, with its retention, and that can be
// mended. What Kopia would do is modelled by a strict opener: blob configuration and format must open with one key.
import { AccessError, fromBase64, manualClock, toHex, utf8Decode } from "@dm/core";
import { loadGolden } from "@dm/fixtures";
import { type BlobStore, forward, type MemoryStore, type Retention } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { decodeBlobConfig } from "../src/format/blob-config.ts";
import { changePassword, setParameters } from "../src/format/change-format.ts";
import { createRepositoryFormat, type NewFormatSettings } from "../src/format/create-format.ts";
import { formatBlobId, openBlock, openFormat, parseFormatBlob } from "../src/format/format-blob.ts";
import { encodeFormatJson } from "../src/format/format-json.ts";
import {
  type OpenedFormat,
  openRepositoryFormat,
  previousBlobConfigId,
} from "../src/format/format-store.ts";
import { beginUpgradeLock } from "../src/format/upgrade.ts";
import {
  Crash,
  copyOf,
  crashingStore,
  derivedOnce,
  quickKey,
  storeWith,
} from "./format-helpers.ts";

const oldPassword = "old one";
const newPassword = "new one";
const retention: Retention = { mode: "GOVERNANCE", periodMs: 72 * 3_600_000 };

async function makeRepository(
  options: { format?: NewFormatSettings; retention?: Retention } = {},
): Promise<{ store: MemoryStore; opened: OpenedFormat }> {
  const store = storeWith();
  const opened = await createRepositoryFormat(store, {
    password: oldPassword,
    deriveKey: quickKey,
    ...options,
  });
  return { store, opened };
}

const open = async (store: BlobStore, password: string): Promise<OpenedFormat> =>
  openRepositoryFormat(store, { password, deriveKey: quickKey });

/** As a client that knows nothing of interrupted changes opens a repository. */
async function openStrictly(store: MemoryStore, password: string): Promise<Retention | undefined> {
  const envelope = parseFormatBlob(await store.get(formatBlobId));
  const { keyAlgorithm: algorithm, uniqueId } = envelope;
  const passwordKey = await quickKey(password, { algorithm, salt: uniqueId });
  openFormat(envelope, passwordKey);
  const config = store.blobs.get("kopia.blobcfg");
  if (!config) return undefined;
  const plaintext = openBlock(config, { passwordKey, uniqueId });
  if (!plaintext)
    throw new AccessError("DM_TEST", "configuration and format need different passwords");
  return decodeBlobConfig(plaintext).retention;
}

async function opensWith(
  store: MemoryStore,
  opener: (store: MemoryStore, password: string) => Promise<unknown>,
): Promise<string[]> {
  const passwords: string[] = [];
  for (const password of [oldPassword, newPassword]) {
    if (
      await opener(store, password).then(
        () => true,
        () => false,
      )
    )
      passwords.push(password);
  }
  return passwords;
}

describe.each([
  ["without retention", undefined],
  ["with retention", retention],
])("%s", (_, rule) => {
  const options = rule ? { retention: rule } : {};

  it("the new password opens the same format, the old one does not", async () => {
    const { opened, store } = await makeRepository(options);
    const changed = await changePassword(store, opened, { newPassword, deriveKey: quickKey });
    const reopened = await open(store, newPassword);
    expect(toHex(reopened.formatBlob)).toBe(toHex(changed.formatBlob));
    expect(toHex(reopened.passwordKey)).toBe(toHex(changed.passwordKey));
    expect(utf8Decode(encodeFormatJson(reopened.format))).toBe(
      utf8Decode(encodeFormatJson(opened.format)),
    );
    expect(reopened.blobConfig.retention).toEqual(rule);
    expect(toHex(reopened.uniqueId)).toBe(toHex(opened.uniqueId));
    await expect(open(store, oldPassword)).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
    expect(await openStrictly(store, newPassword)).toEqual(rule);
    expect([...store.blobs.keys()].sort()).toEqual(["kopia.blobcfg", "kopia.repository"]);
  });

  it("dying before any change of the store leaves a repository that opens and can be mended", async () => {
    const { opened, store } = await makeRepository(options);
    const whole = crashingStore(copyOf(store), Number.POSITIVE_INFINITY);
    await changePassword(whole.store, opened, { newPassword, deriveKey: quickKey });
    expect(whole.calls.length).toBeGreaterThanOrEqual(3);

    let interrupted = 0;
    for (let point = 0; point < whole.calls.length; point++) {
      const crashed = copyOf(store);
      const dying = crashingStore(crashed, point);
      await expect(
        changePassword(dying.store, opened, { newPassword, deriveKey: quickKey }),
      ).rejects.toThrow(Crash);

      const [password, ...others] = await opensWith(crashed, open);
      expect(others).toEqual([]);
      const isBeforeFormat = whole.calls.indexOf(`put ${formatBlobId}`) >= point;
      expect(password).toBe(isBeforeFormat ? oldPassword : newPassword);
      const survivor = await open(crashed, password!);
      expect(survivor.blobConfig.retention).toEqual(rule);

      // Without retention Kopia opens it as well; with it, Kopia refuses at one point rather than to drop the locks.
      const strict = await opensWith(crashed, openStrictly);
      expect(strict).toEqual(survivor.passwordChangeInterrupted ? [] : [password]);
      if (survivor.passwordChangeInterrupted) interrupted += 1;

      const mended = copyOf(crashed);
      await setParameters(mended, survivor, {});
      expect(await openStrictly(mended, password!)).toEqual(rule);
      expect((await open(mended, password!)).passwordChangeInterrupted).toBe(false);

      const again = await changePassword(crashed, survivor, {
        newPassword: "third",
        deriveKey: quickKey,
      });
      expect(await openStrictly(crashed, "third")).toEqual(rule);
      expect(again.blobConfig.retention).toEqual(rule);
      expect(crashed.blobs.has(previousBlobConfigId)).toBe(false);
    }
    expect(interrupted).toBe(rule ? 1 : 0);
  });
});

it("works with credentials that may not delete", async () => {
  const { opened, store } = await makeRepository();
  const appendOnly: BlobStore = {
    ...forward(store),
    delete: async () => {
      throw new AccessError("DM_STORE_ACCESS_DENIED", "no delete");
    },
  };
  await changePassword(appendOnly, opened, { newPassword, deriveKey: quickKey });
  expect(await openStrictly(store, newPassword)).toBeUndefined();
  const leftover = await open(store, newPassword);
  expect(leftover.passwordChangeInterrupted).toBe(false);
  await expect(open(store, oldPassword)).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
});

it("a configuration kept aside does not stand in for a damaged one", async () => {
  const { opened, store } = await makeRepository({ retention });
  const dying = crashingStore(store, 3);
  await expect(
    changePassword(dying.store, opened, { newPassword, deriveKey: quickKey }),
  ).rejects.toThrow(Crash);
  expect(store.blobs.has(previousBlobConfigId)).toBe(true);
  const config = await store.get("kopia.blobcfg");
  config[5]! ^= 1;
  await store.put("kopia.blobcfg", config);
  await expect(open(store, newPassword)).rejects.toMatchObject({ code: "DM_BLOB_CONFIG_ALTERED" });
});

it("a repository made as version 1 keeps its password", async () => {
  const { opened, store } = await makeRepository({ format: { version: 1 } });
  await expect(changePassword(store, opened, { newPassword })).rejects.toMatchObject({
    code: "DM_PASSWORD_CHANGE_UNSUPPORTED",
  });
});

it("an empty password is refused", async () => {
  const { opened, store } = await makeRepository();
  await expect(changePassword(store, opened, { newPassword: "" })).rejects.toThrow(RangeError);
});

it("a golden repository's password is changed with the real derivation", async () => {
  const { blobs, expected } = loadGolden("v3-password-changed");
  const store = storeWith(blobs);
  const opened = await openRepositoryFormat(store, {
    password: expected.password,
    deriveKey: derivedOnce,
  });
  await changePassword(store, opened, {
    newPassword: expected.oldPassword,
    deriveKey: derivedOnce,
  });
  const reopened = await openRepositoryFormat(store, {
    password: expected.oldPassword,
    deriveKey: derivedOnce,
  });
  expect(toHex(reopened.format.masterKey)).toBe(expected.format.masterKey);
  // The tool that made it stays recorded.
  expect(parseFormatBlob(reopened.formatBlob).tool).toBe(parseFormatBlob(opened.formatBlob).tool);
});

it("parameters change, and the change is stored", async () => {
  const { opened, store } = await makeRepository({ format: { version: 2 } });
  const clock = manualClock(7n);
  const changes = {
    maxPackSizeBytes: 40 << 20,
    version: 3 as const,
    epochParameters: { fullCheckpointFrequency: 3 },
    retention,
    requiredFeatures: [
      {
        feature: "index-v2",
        ifNotUnderstood: { warn: true, message: "", url: "", upgradeToVersion: "" },
      },
    ],
  };
  const changed = await setParameters(store, opened, changes, { clock });
  expect(changed.loadedAtNs).toBe(7n);
  const reopened = await open(store, oldPassword);
  expect(reopened.blobConfig.retention).toEqual(retention);
  expect(reopened.format).toMatchObject({
    maxPackSizeBytes: 40 << 20,
    version: 3,
    epochParameters: { fullCheckpointFrequency: 3, epochAdvanceOnCountThreshold: 20 },
    requiredFeatures: [{ feature: "index-v2" }],
  });
  const without = await setParameters(store, reopened, { retention: null });
  expect(without.blobConfig.retention).toBeUndefined();
  expect((await store.get("kopia.blobcfg")).length).toBe(30);
});

it("index version 2 can be had in version 1", async () => {
  const { opened, store } = await makeRepository({ format: { version: 1 } });
  await setParameters(store, opened, { indexVersion: 2 });
  expect((await open(store, oldPassword)).format).toMatchObject({
    version: 1,
    indexVersion: 2,
    enablePasswordChange: false,
  });
});

it.each([
  ["lowers the version", 3, { version: 2 as const }],
  ["lowers the index version", 3, { indexVersion: 1 as const }],
  ["raises version 1", 1, { version: 2 as const }],
  ["gives version 1 epochs", 1, { epochParameters: { enabled: true } }],
  ["ends epochs", 3, { epochParameters: { enabled: false } }],
  ["has packs that are too small", 3, { maxPackSizeBytes: 1 }],
  ["has epochs that are too short", 3, { epochParameters: { minEpochDurationMs: 1 } }],
  [
    "has a retention that is too short",
    3,
    { retention: { mode: "COMPLIANCE" as const, periodMs: 1 } },
  ],
])("a change that %s is refused and stores nothing", async (_, version, changes) => {
  const { opened, store } = await makeRepository({ format: { version: version as 1 | 3 } });
  await expect(setParameters(store, opened, changes)).rejects.toThrow(RangeError);
  expect(toHex(await store.get(formatBlobId))).toBe(toHex(opened.formatBlob));
});

it("of two changes from one state the second is refused", async () => {
  const { opened, store } = await makeRepository();
  await setParameters(store, opened, { maxPackSizeBytes: 30 << 20 });
  const stale = { code: "DM_FORMAT_CHANGED" };
  await expect(setParameters(store, opened, { maxPackSizeBytes: 50 << 20 })).rejects.toMatchObject(
    stale,
  );
  await expect(
    changePassword(store, opened, { newPassword, deriveKey: quickKey }),
  ).rejects.toMatchObject(stale);
  expect((await open(store, oldPassword)).format.maxPackSizeBytes).toBe(30 << 20);
});

it("nothing changes while an upgrade is under way, nor in a store that is read-only", async () => {
  const { opened, store } = await makeRepository({ format: { version: 2 } });
  const readOnly: BlobStore = { ...forward(store), readOnly: true };
  await expect(setParameters(readOnly, opened, {})).rejects.toMatchObject({
    code: "DM_STORE_READ_ONLY",
  });
  const locked = await beginUpgradeLock(store, opened, {
    ownerId: "me",
    advanceNoticeDurationMs: 1e9,
  });
  const busy = { code: "DM_UPGRADE_IN_PROGRESS" };
  await expect(setParameters(store, locked, {})).rejects.toMatchObject(busy);
  await expect(changePassword(store, locked, { newPassword })).rejects.toMatchObject(busy);
});

it("no secret is in the text of an error", async () => {
  const { opened, store } = await makeRepository();
  const secrets = [oldPassword, toHex(opened.passwordKey), toHex(opened.format.masterKey)];
  const errors = [
    await open(store, "mistaken").catch((error: unknown) => error),
    await setParameters(store, opened, { maxPackSizeBytes: 1 }).catch((error: unknown) => error),
  ];
  for (const error of errors) {
    const text = `${error} ${JSON.stringify(error)}`;
    for (const secret of [
      ...secrets,
      "mistaken",
      ...secrets.slice(1).map((hex) => toHex(fromBase64(btoa(hex)))),
    ]) {
      expect(text).not.toContain(secret);
    }
  }
});
