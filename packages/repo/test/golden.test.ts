// Every golden repository of the real kopia, as far as blobs, contents, objects and manifests go: opened by us, it has
// exactly what kopia listed: parameters, blobs by their names on disk, index blobs, epochs, contents, manifests, files.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldenRepositories, type Json, loadGolden, sha256Hex, writeFiles } from "@dm/fixtures";
import { filesystemStore } from "@dm/storage/filesystem";
import { beforeAll, describe, expect, it } from "vitest";
import {
  EpochManager,
  type IndexEntry,
  isSealedBlob,
  openBlob,
  parseTime,
  poisonBlobId,
  readSchedule,
  verifyRepository,
} from "../src/index.ts";
import { memoisedDeriveKey, type OpenedGolden, openGolden } from "./open-golden.ts";

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

describe.each(goldenRepositories())("%s", (name) => {
  let opened: OpenedGolden;
  let expected: Json;

  beforeAll(async () => {
    opened = await openGolden(name, { readOnly: true });
    expected = opened.golden.expected;
  });

  it("has the same parameters and keys", () => {
    const { openedFormat, uniqueId } = opened.repository;
    const { blobConfig, format, keyAlgorithm } = openedFormat;
    const { blobRetention, contentFormat, objectFormat, uniqueIDHex } = expected.repositoryStatus;
    expect(toHex(uniqueId)).toBe(uniqueIDHex);
    expect(keyAlgorithm).toBe(expected.keyAlgo);
    expect(toHex(format.secret)).toBe(expected.format.hmacSecret);
    expect(toHex(format.masterKey)).toBe(expected.format.masterKey);
    expect(format).toMatchObject({
      hash: contentFormat.hash,
      encryption: contentFormat.encryption,
      ecc: expected.format.ecc,
      eccOverheadPercent: expected.format.eccOverheadPercent,
      version: contentFormat.version,
      maxPackSizeBytes: contentFormat.maxPackSize,
      indexVersion: contentFormat.indexVersion,
      enablePasswordChange: contentFormat.enablePasswordChange,
      splitter: objectFormat.splitter,
      requiredFeatures: [],
    });
    const epochs = contentFormat.epochParameters;
    expect(format.epochParameters).toEqual({
      enabled: epochs.Enabled,
      epochRefreshFrequencyMs: epochs.EpochRefreshFrequency / 1e6,
      fullCheckpointFrequency: epochs.FullCheckpointFrequency,
      cleanupSafetyMarginMs: epochs.CleanupSafetyMargin / 1e6,
      minEpochDurationMs: epochs.MinEpochDuration / 1e6,
      epochAdvanceOnCountThreshold: epochs.EpochAdvanceOnCountThreshold,
      epochAdvanceOnTotalSizeBytesThreshold: epochs.EpochAdvanceOnTotalSizeBytesThreshold,
      deleteParallelism: epochs.DeleteParallelism,
      unknownMembers: [],
    });
    expect(blobConfig.retention).toEqual(
      blobRetention.retentionMode
        ? { mode: blobRetention.retentionMode, periodMs: blobRetention.retentionPeriod / 1e6 }
        : undefined,
    );
  });

  it("has the same blobs under the names of its directory layout", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dm-golden-"));
    try {
      const { files } = loadGolden(name);
      writeFiles(files, folder);
      const store = filesystemStore({ path: folder });
      const listed = [];
      for await (const { id, length } of store.list("")) listed.push({ id, length });
      expect(listed.sort(byId)).toEqual([...expected.blobs].sort(byId));
      for (const { id } of expected.blobs)
        expect(sha256Hex(await store.get(id)), id).toBe(sha256Hex(opened.golden.blobs.get(id)!));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("opens as a whole exactly the blobs that are sealed as a whole", () => {
    const { crypter } = opened.repository;
    for (const [id, stored] of opened.golden.blobs) {
      const open = (): Uint8Array => openBlob(crypter, id, stored);
      // The marker of an upgrade has the name of an index blob so that old clients fail on it.
      if (isSealedBlob(id) && id !== poisonBlobId) expect(open, id).not.toThrow();
      else expect(open, id).toThrow();
    }
  });

  it("uses the same index blobs", async () => {
    const { blobIds } = await opened.repository.indexManager.active();
    expect([...blobIds].sort()).toEqual([...expected.activeIndexBlobs].sort());
  });

  it("sees the same epochs", async () => {
    const { indexManager } = opened.repository;
    const { epoch } = expected;
    expect(indexManager instanceof EpochManager).toBe(epoch !== undefined);
    if (!(indexManager instanceof EpochManager)) return;
    const state = await indexManager.state();
    expect(state.writeEpoch).toBe(epoch.writeEpoch);
    expect(new Date(state.deletionWatermarkSeconds * 1000)).toEqual(
      // Go's zero time stands for no watermark.
      new Date(epoch.deletionWatermark.startsWith("0001") ? 0 : epoch.deletionWatermark),
    );
    expect([...state.singles.keys()].sort()).toEqual(epoch.singleEpochCompactions);
    const ranges = state.ranges.map(({ first, last }) => ({ maxEpoch: last, minEpoch: first }));
    expect(ranges).toEqual(epoch.rangeCheckpoints ?? []);
    const uncompacted = [...state.recent].filter(([, blobs]) => blobs.length > 0);
    expect(uncompacted.map(([number]) => number)).toEqual(epoch.uncompactedEpochs);
  });

  it("lists the same contents", async () => {
    const found: IndexEntry[] = [];
    for await (const entry of opened.repository.listContents({ includeDeleted: true }))
      found.push(entry);
    const listed = expected.contents.map((content: Json) => ({
      contentId: content.id,
      packBlobId: content.pack,
      packOffset: content.offset,
      packedLength: content.packedLength,
      originalLength: content.length ?? 0,
      compressionHeaderId: Number(content.compressionID ?? 0),
      timestampSeconds: content.time,
      formatVersion: content.formatVersion,
      encryptionKeyId: 0,
      deleted: content.deleted ?? false,
    }));
    expect(found).toEqual(listed);
  });

  it("reads and re-hashes every content", async () => {
    const report = await verifyRepository(opened.repository);
    expect(report.findings.map((finding) => finding.error.message)).toEqual([]);
    expect(report.contentsDone).toBe(expected.contents.length);
    for (const { id, length = 0 } of expected.contents)
      expect((await opened.repository.readContent(id)).length, id).toBe(length);
  });

  it("finds the same manifests", async () => {
    const found = (await opened.repository.findManifests()).map((manifest) => ({
      data: JSON.parse(manifest.data),
      id: manifest.id,
      labels: manifest.labels,
      modifiedAtNs: manifest.modifiedAtNs,
    }));
    const listed = expected.manifests.map(({ data, id, labels, modTime }: Json) => ({
      data,
      id,
      labels,
      modifiedAtNs: parseTime(modTime),
    }));
    expect(found.sort(byId)).toEqual(listed.sort(byId));
  });

  it("reads every object of every tree", async () => {
    const seen = new Set<string>();
    for (const { objectID, path, sha256, size, target, type } of Object.values<Json[]>(
      expected.trees,
    ).flat()) {
      if (!objectID || seen.has(objectID)) continue;
      seen.add(objectID);
      const object = await opened.repository.openObject(objectID);
      const bytes = await object.read();
      if (type === "f") {
        expect(object.length, path).toBe(size ?? 0);
        expect(sha256Hex(bytes), path).toBe(sha256);
      } else if (type === "s") expect(new TextDecoder().decode(bytes), path).toBe(target);
      else expect(JSON.parse(new TextDecoder().decode(bytes)).stream, path).toBe("kopia:directory");
    }
    for (const { rootObjectID } of expected.snapshots) expect(seen).toContain(rootObjectID);
  });

  it("has a schedule of maintenance that can be read, when it has one", async () => {
    const { openedFormat, store } = opened.repository;
    const { nextQuickNs, runs } = await readSchedule(store, openedFormat);
    const hasSchedule = opened.golden.blobs.has("kopia.maintenance");
    expect(nextQuickNs > 0n || runs.size > 0).toBe(hasSchedule);
    if (name.endsWith("-maintenance")) expect([...runs.keys()]).toContain("full-rewrite-contents");
  });
});

describe("what single repositories are for", () => {
  const files = (expected: Json, path: string): Json[] =>
    Object.values<Json[]>(expected.trees).flatMap((tree) =>
      tree.filter((entry) => entry.path === path),
    );

  it("v3-big-file: both versions of the big file, from its formula", async () => {
    const { golden, repository } = await openGolden("v3-big-file", { readOnly: true });
    const { length, path } = golden.expected.bigFile;
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += 1) bytes[i] = i * 7 + (i >> 8) * 13 + (i >> 16);
    const edited = bytes.slice();
    edited.fill(0xee, 10_000_000, 10_004_096);
    const found = [];
    for (const { objectID } of files(golden.expected, path))
      found.push(sha256Hex(await (await repository.openObject(objectID)).read()));
    expect(found.sort()).toEqual([sha256Hex(bytes), sha256Hex(edited)].sort());
  });

  it("velero-block: the block device before and after", async () => {
    const { golden, repository } = await openGolden("velero-block", { readOnly: true });
    const { blockDeviceLength, blockDeviceSha256 } = golden.expected;
    const found = [];
    for (const { objectID } of files(golden.expected, "dev/loop1")) {
      const device = await (await repository.openObject(objectID)).read();
      expect(device.length).toBe(blockDeviceLength);
      found.push(sha256Hex(device));
    }
    expect(found.sort()).toEqual([...blockDeviceSha256].sort());
  });

  it("v3-password-changed: the old password no longer opens it", async () => {
    const { oldPassword } = loadGolden("v3-password-changed").expected;
    await expect(
      openGolden("v3-password-changed", { password: oldPassword, deriveKey: memoisedDeriveKey }),
    ).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
  });

  it("v3-double-indirect: an index of indexes, read in the middle without the rest", async () => {
    const { golden, repository } = await openGolden("v3-double-indirect", { readOnly: true });
    const entries = Object.values<Json[]>(golden.expected.trees).flat();
    const [entry] = entries.filter(({ objectID }) => objectID?.startsWith("II"));
    expect(entry).toBeDefined();
    const object = await repository.openObject(entry.objectID);
    let at = 150_000_000;
    let mark: Uint8Array | undefined;
    for await (const piece of object.stream({ offset: at })) {
      const found = piece.findIndex((byte, i) => i > 0 && byte !== 0);
      mark = found > 0 ? piece.subarray(found - 1, found + 20) : undefined;
      if (mark) {
        at += found - 1;
        break;
      }
      at += piece.length;
    }
    if (!mark) throw new Error("no mark in the second half of the file");
    expect(toHex(await object.read({ offset: at, length: mark.length }))).toBe(toHex(mark));
  });

  it("velero-fs: Velero's own blob is left alone", async () => {
    const { golden, repository } = await openGolden("velero-fs", { readOnly: true });
    expect(golden.blobs.has("udmrepo.Repository")).toBe(true);
    expect((await repository.findManifests({ type: "snapshot" })).length).toBe(3);
  });
});

it("every kind of recorded repository is here", () => {
  const names = goldenRepositories();
  expect(names.length).toBe(30);
  expect(names.filter((name) => name.startsWith("velero-")).length).toBe(2);
});
