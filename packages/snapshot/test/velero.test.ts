// Velero's sources, tags, policies and marks are rebuilt to the byte from its golden repositories; the parent that we choose
// is the snapshot that Velero made last of that source.
import { readFile } from "node:fs/promises";
import { utf8Decode, utf8Encode } from "@dm/core";
import { type GoldenRepository, loadGolden } from "@dm/fixtures";
import { openRepository, parseTime, type Repository, readMaintenanceParameters } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { beforeAll, describe, expect, it } from "vitest";
import { listSnapshots, type Snapshot, type SnapshotSource, snapshotLabels } from "../src/index.ts";
import {
  chooseVeleroParent,
  findVeleroParent,
  setVeleroPolicy,
  veleroPolicy,
  veleroSnapshot,
  veleroSource,
  veleroTags,
} from "../src/velero/velero.ts";
import {
  decodeVeleroRepository,
  encodeVeleroRepository,
  isVeleroRepository,
  setUpVeleroRepository,
  veleroRepositoryBlobId,
} from "../src/velero/velero-repository.ts";
import { newRepository } from "./new-repository.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

const mover = "snapshot-data-upload-download";
const asMade = { parallelFileReads: 2, parallelUploadAboveBytes: null };

describe.each(["velero-fs", "velero-block"])("%s", (name) => {
  let golden: GoldenRepository;
  let repository: Repository;
  let snapshots: Snapshot[];
  beforeAll(async () => {
    golden = loadGolden(name);
    repository = await openRepository(memoryStore({ blobs: golden.blobs }), {
      password: golden.expected.password,
      deriveKey: memoisedDeriveKey,
    });
    snapshots = await listSnapshots(repository);
  });

  it("has the source, tags, description and pin that we would give", async () => {
    for (const { description, id, pins, source, tags } of snapshots) {
      const [, , ...volume] = source.path.split("/");
      expect(source).toEqual(veleroSource(mover, volume));
      const key = "velero.io/async-operation-id";
      expect(tags).toEqual(veleroTags(mover, { [key]: tags[key]! }));
      expect({ description, pins }).toEqual(veleroSnapshot);
      expect((await repository.readManifest(id)).labels).toEqual(snapshotLabels(source, tags));
    }
  });

  it("has the policies that we would write, to the byte, so that we write none", async () => {
    await using session = await repository.openWriteSession();
    const manifests = await repository.findManifests({ type: "policy" });
    const sources = new Map(snapshots.map(({ source }) => [source.path, source]));
    expect(manifests.length).toBe(sources.size);
    for (const { data, labels } of manifests) {
      const source = sources.get(labels["path"]!)!;
      expect(veleroPolicy(source, asMade)).toEqual({ labels, rawData: data });
      await setVeleroPolicy(session, source, asMade);
      expect((await session.findManifests(labels))[0]!.modifiedAtNs).toBe(
        (await repository.findManifests(labels))[0]!.modifiedAtNs,
      );
    }
  });

  it("goes on from the snapshot that was made last of a source", async () => {
    for (const source of new Map(
      snapshots.map((each) => [each.source.path, each.source]),
    ).values()) {
      const listed = golden.expected.snapshots.filter(
        (json: { source: SnapshotSource }) => json.source.path === source.path,
      );
      const last = listed.reduce((a: { startTime: string }, b: { startTime: string }) =>
        parseTime(a.startTime) > parseTime(b.startTime) ? a : b,
      );
      expect((await findVeleroParent(repository, source, mover))?.id).toBe(last.id);
      expect(await findVeleroParent(repository, source, "snapshot-pod-volume")).toBeUndefined();
    }
  });

  it("carries the mark that we would write, so that there is nothing to set up", async () => {
    const mark = await repository.store.get(veleroRepositoryBlobId);
    expect(utf8Decode(encodeVeleroRepository(repository.uniqueId))).toBe(utf8Decode(mark));
    expect(await isVeleroRepository(repository)).toBe(true);
    const before = (await repository.findManifests({ type: "maintenance" }))[0]!.id;
    await setUpVeleroRepository(repository);
    expect((await repository.findManifests({ type: "maintenance" }))[0]!.id).toBe(before);
  });
});

it("the format page shows what we write", async () => {
  const page = await readFile(new URL("../../../docs/format/velero.md", import.meta.url), "utf8");
  const block = (info: string): string => page.split(`\`\`\`json ${info}\n`)[1]!.split("\n```")[0]!;
  const uniqueId = decodeVeleroRepository(utf8Encode(block("repository")));
  expect(uniqueId.length).toBe(32);
  expect(utf8Decode(encodeVeleroRepository(uniqueId))).toBe(block("repository"));
  const { rawData } = veleroPolicy(veleroSource(mover, ["a", "b"]), { parallelFileReads: 2 });
  expect(block("policy")).toBe(rawData);
});

describe("chooseVeleroParent", () => {
  const snapshot = (id: string, startedAtNs: bigint, change: Partial<Snapshot> = {}): Snapshot =>
    ({ id, startedAtNs, tags: veleroTags(mover), ...change }) as Snapshot;

  it.each<[string, Snapshot[], string | undefined]>([
    ["nothing of nothing", [], undefined],
    ["the latest", [snapshot("a", 1n), snapshot("c", 3n), snapshot("b", 2n)], "c"],
    [
      "none that is incomplete",
      [snapshot("a", 1n), snapshot("b", 2n, { incompleteReason: "checkpoint" })],
      "a",
    ],
    ["none without tags", [snapshot("a", 1n, { tags: {} })], undefined],
    [
      "none of another requester",
      [snapshot("a", 1n), snapshot("b", 2n, { tags: veleroTags("snapshot-pod-volume") })],
      "a",
    ],
    [
      "none of another uploader",
      [snapshot("a", 1n, { tags: { ...veleroTags(mover), "snapshot-uploader": "restic" } })],
      undefined,
    ],
  ])("%s", (_, snapshots, id) => {
    expect(chooseVeleroParent(snapshots, mover)?.id).toBe(id);
  });
});

describe("veleroSource", () => {
  it("has a relative path of requester, uploader and volume", () => {
    expect(veleroSource("snapshot-pod-volume", ["shop", "web-0", "data"])).toEqual({
      host: "default",
      userName: "default",
      path: "snapshot-pod-volume/kopia/shop/web-0/data",
    });
  });

  it.each(["", "..", "a/b"])("refuses %j as a part", (part) => {
    expect(() => veleroSource(mover, ["shop", part])).toThrow(RangeError);
  });
});

describe("veleroPolicy", () => {
  it("stores files above 2 GiB in parts, unless told otherwise", () => {
    const { rawData } = veleroPolicy(veleroSource(mover, ["a", "b"]), { parallelFileReads: 4 });
    expect(rawData).toContain(
      '"upload":{"maxParallelFileReads":4,"parallelUploadAboveSize":2147483648}}',
    );
  });

  it("takes the place of another one", async () => {
    const { repository } = await newRepository();
    const source = veleroSource(mover, ["a", "b"]);
    await using session = await repository.openWriteSession();
    for (const parallelFileReads of [2, 3, 3]) {
      await setVeleroPolicy(session, source, { parallelFileReads });
      await session.flush();
    }
    const present = await repository.findManifests({ type: "policy", path: source.path });
    expect(present.length).toBe(1);
    expect(present[0]!.data).toContain('"maxParallelFileReads":3');
  });
});

describe("setUpVeleroRepository", () => {
  it("gives a repository of ours the mark and the owner, once", async () => {
    const { repository, store } = await newRepository();
    expect(await isVeleroRepository(repository)).toBe(false);
    await setUpVeleroRepository(repository, { fullMaintenanceInterval: "eagerGC" });
    expect(await isVeleroRepository(repository)).toBe(true);
    const { full, owner } = await readMaintenanceParameters(repository);
    expect(owner).toBe("default@default");
    expect(full).toEqual({ enabled: true, interval: 6 * 3_600_000_000_000 });
    const blobs = async (): Promise<string[]> => {
      const ids: string[] = [];
      for await (const { id } of store.list("")) ids.push(id);
      return ids.sort();
    };
    const before = await blobs();
    await setUpVeleroRepository(repository);
    expect(await blobs()).toEqual(before);
  });

  it.each([
    ["of another repository", encodeVeleroRepository(new Uint8Array(32))],
    ["that is no JSON", utf8Encode("{")],
    ["without an id", utf8Encode("{}")],
    ["whose id is no base64", utf8Encode('{"uniqueID":"?"}')],
  ])("refuses a mark %s", async (_, bytes) => {
    const { repository, store } = await newRepository();
    await store.put(veleroRepositoryBlobId, bytes);
    const refused = { code: "DM_VELERO_REPOSITORY_INVALID" };
    await expect(setUpVeleroRepository(repository)).rejects.toMatchObject(refused);
    await expect(isVeleroRepository(repository)).rejects.toMatchObject(refused);
  });
});
