// What the doctor repairs: the plan lists exactly what is written, a diagnosis writes nothing, every index blob comes back from
// the packs, a pack that is gone costs its files and no other, and a repair that is cut off at any call loses nothing.
import { gunzipSync } from "node:zlib";
import { toHex } from "@dm/core";
import { loadGolden } from "@dm/fixtures";
import {
  type ContentId,
  type IndexEntry,
  openRepository,
  type Repository,
  runMaintenance,
  verifyRepository,
} from "@dm/repo";
import {
  type BlobStore,
  counting,
  forward,
  type MemoryStore,
  memoryStore,
  readOnly,
} from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  collectGarbage,
  type Diagnosis,
  damagedBlobPrefix,
  deleteSnapshots,
  diagnoseRepository,
  findEntry,
  listSnapshots,
  repairRepository,
  rewriteSnapshots,
  type Snapshot,
  unreadableFiles,
  verifySnapshots,
} from "../src/index.ts";
import { deriveKey, directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

const diagnose = (store: BlobStore): Promise<Diagnosis> =>
  diagnoseRepository(store, { password: "p", deriveKey });

const open = (store: BlobStore): Promise<Repository> =>
  openRepository(store, { password: "p", deriveKey });

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Two snapshots of different sessions, so that there are several index blobs and packs; `both.txt` is in both. */
async function twoSnapshots(): Promise<{ store: MemoryStore; ids: string[] }> {
  const { repository, store } = await newRepository();
  const ids: string[] = [];
  for (const name of ["first", "second"]) {
    await using session = await repository.openWriteSession();
    const files = [
      await fileIn(session, "both.txt", bytes("in both")),
      await fileIn(session, `${name}.txt`, bytes(`only in the ${name}`)),
    ];
    const inner = await directoryIn(session, "inner", files);
    const root = await directoryIn(session, "", [inner]);
    const startedAtNs = 1_700_000_000_000_000_000n + BigInt(ids.length);
    ids.push((await snapshotIn(session, root, { startedAtNs })).id);
    await session.commit();
  }
  return { store, ids };
}

const idsOf = (store: MemoryStore, pattern: RegExp): string[] =>
  [...store.blobs.keys()].filter((id) => pattern.test(id)).sort();

const indexBlobs = (store: MemoryStore): string[] => idsOf(store, /^x[nsr]/);

const copyOf = (store: MemoryStore): MemoryStore => memoryStore({ blobs: new Map(store.blobs) });

async function expectSound(store: BlobStore, ids: readonly string[]): Promise<void> {
  const repository = await open(store);
  expect((await verifyRepository(repository)).findings).toEqual([]);
  const snapshots = await listSnapshots(repository);
  expect(snapshots.map(({ id }) => id)).toEqual(ids);
  expect((await verifySnapshots(repository, snapshots)).findings).toEqual([]);
}

async function expectNoErrors(store: BlobStore, ids: readonly string[]): Promise<void> {
  const repository = await open(store);
  expect((await verifyRepository(repository)).ok).toBe(true);
  const snapshots = await listSnapshots(repository);
  expect(snapshots.map(({ id }) => id)).toEqual(ids);
  expect((await verifySnapshots(repository, snapshots)).findings).toEqual([]);
}

const lostPaths = ({ findings }: Diagnosis): string[] =>
  findings
    .filter(({ part, severity }) => part === "snapshots" && severity === "lost")
    .map(({ path, snapshotId }) => `${snapshotId} ${path}`);

describe("a healthy repository", () => {
  it("is healthy, and a diagnosis of it writes nothing", async () => {
    const { store } = await twoSnapshots();
    const counted = counting(store);
    expect(await diagnose(counted)).toEqual({
      findings: [],
      plan: [],
      opens: true,
      damagedSnapshots: new Set(),
      ok: true,
    });
    expect(counted.counts).toMatchObject({ put: 0, delete: 0, extendRetention: 0 });
    expect(counted.counts.get).toBeGreaterThan(0);
  });

  it("stays healthy while a session is under way, which is told", async () => {
    const { ids, store } = await twoSnapshots();
    const { maxPackSizeBytes } = (await open(store)).format;
    await using session = await (await open(store)).openWriteSession();
    const noise = new Uint8Array(maxPackSizeBytes + 1000).map((_, at) => (at * at) >> 7);
    await session.writeContent(noise.subarray(0, maxPackSizeBytes - 1000));
    await session.writeContent(noise.subarray(2000));
    for (let tries = 0; tries < 200 && idsOf(store, /^p/).length < 3; tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(idsOf(store, /^p/).length).toBeGreaterThan(2);
    const { findings, ok } = await diagnose(store);
    expect(ok).toBe(true);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ part: "packs", severity: "note" });
    expect(findings[0]!.text).toContain("have not ended");
    expect(ids).toHaveLength(2);
  });

  it("stays healthy when maintenance has dropped contents, and their packs wait for their deletion", async () => {
    const { ids, store } = await twoSnapshots();
    const keeper: BlobStore = {
      ...forward(store),
      delete: async (id, options) => {
        if (!/^[pq]/.test(id)) await store.delete(id, options);
      },
    };
    const repository = await open(keeper);
    await using session = await repository.openWriteSession();
    await deleteSnapshots(session, [{ id: ids[0]! }]);
    await session.commit();
    await runMaintenance(repository, { mode: "full", safety: "none", collectGarbage });
    const { findings, ok, plan } = await diagnose(store);
    expect({ ok, plan }).toEqual({ ok: true, plan: [] });
    expect(findings).toEqual([expect.objectContaining({ part: "packs", severity: "note" })]);
    expect(findings[0]!.text).toContain("hold nothing that is missing");
  });
});

describe("the index", () => {
  it("comes back from the packs when every index blob is gone: content verification alone sees nothing", async () => {
    const { ids, store } = await twoSnapshots();
    for (const id of indexBlobs(store)) store.blobs.delete(id);
    expect((await verifyRepository(await open(store))).findings).toEqual([]);
    const { findings, plan } = await diagnose(store);
    expect(findings).toEqual([expect.objectContaining({ part: "index", severity: "repairable" })]);
    expect(findings[0]!.text).toContain("an index blob is gone");
    await repairRepository(store, plan);
    await expectSound(store, ids);
    expect((await diagnose(store)).ok).toBe(true);
  });

  it("comes back when any one index blob is gone", async () => {
    const { ids, store } = await twoSnapshots();
    const blobIds = indexBlobs(store);
    expect(blobIds.length).toBeGreaterThan(2);
    for (const blobId of blobIds) {
      const damaged = copyOf(store);
      damaged.blobs.delete(blobId);
      const { findings, plan } = await diagnose(damaged);
      expect(findings.map(({ severity }) => severity)).toEqual(["repairable"]);
      await repairRepository(damaged, plan);
      await expectSound(damaged, ids);
    }
  });

  it("comes back with what a session that was cut off had stored and a later snapshot refers to", async () => {
    const { ids, store } = await twoSnapshots();
    const repository = await open(store);
    const [{ rootEntry }] = (await listSnapshots(repository)) as [Snapshot, Snapshot];
    const file = await findEntry(repository, rootEntry!, "inner/both.txt");
    const { packBlobId } = (await repository.contentInfo(file.objectId as ContentId))!;
    const sessionId = packBlobId.slice(packBlobId.indexOf("-s"));
    store.blobs.set(`s${"0".repeat(32)}${sessionId}`, bytes("its marker"));
    for (const id of indexBlobs(store)) store.blobs.delete(id);
    await repairRepository(store, (await diagnose(store)).plan);
    await expectSound(store, ids);
  });

  it("comes back when all its blobs are damaged, which are kept under other names", async () => {
    const { ids, store } = await twoSnapshots();
    const blobIds = indexBlobs(store);
    for (const blobId of blobIds) store.blobs.set(blobId, bytes(`no index ${blobId}`));
    const { findings, plan } = await diagnose(store);
    expect(findings.map(({ blobId }) => blobId).sort()).toEqual(blobIds);
    await repairRepository(store, plan);
    await expectSound(store, ids);
    for (const blobId of blobIds) {
      expect(store.blobs.has(blobId)).toBe(false);
      const kept = store.blobs.get(`${damagedBlobPrefix}${blobId}`);
      expect(kept).toEqual(bytes(`no index ${blobId}`));
    }
  });

  it("keeps marks of deletion that other index blobs hold", async () => {
    const { ids, store } = await twoSnapshots();
    const repository = await open(store);
    await using session = await repository.openWriteSession();
    const contentId = await session.writeContent(bytes("deleted"));
    await session.flush();
    const before = indexBlobs(store);
    await session.deleteContent(contentId);
    await session.commit();
    for (const blobId of before) store.blobs.set(blobId, bytes(blobId));
    await repairRepository(store, (await diagnose(store)).plan);
    await expectSound(store, ids);
    expect((await (await open(store)).contentInfo(contentId))?.deleted).toBe(true);
  });
});

describe("packs", () => {
  it("one that is gone costs the files in it, in each snapshot that has them, and nothing else", async () => {
    const { ids, store } = await twoSnapshots();
    const repository = await open(store);
    const [first, second] = ids;
    const [shared] = (await listSnapshots(repository)).slice(0, 1);
    const file = await findEntry(repository, shared!.rootEntry!, "inner/both.txt");
    const pack = (await repository.contentInfo(file.objectId as ContentId))!.packBlobId;
    store.blobs.delete(pack);
    const { damagedSnapshots, findings, ok, plan } = await diagnose(store);
    expect({ ok, plan }).toEqual({ ok: false, plan: [] });
    expect(damagedSnapshots).toEqual(new Set(ids));
    expect(lostPaths(await diagnose(store))).toEqual([
      `${first} inner/both.txt`,
      `${first} inner/first.txt`,
      `${second} inner/both.txt`,
    ]);
    expect(findings[0]).toMatchObject({ part: "packs", severity: "lost", blobId: pack });
  });

  it("contents that nobody wants any more are told by pack", async () => {
    const { repository, store } = await newRepository();
    await using session = await repository.openWriteSession();
    const ids: ContentId[] = [];
    for (const text of ["a", "b", "c"]) ids.push(await session.writeContent(bytes(text)));
    await session.commit();
    const { packBlobId } = (await repository.contentInfo(ids[0]!))!;
    await using later = await repository.openWriteSession();
    for (const id of ids) await later.deleteContent(id);
    await later.commit();
    store.blobs.set(packBlobId, new Uint8Array(store.blobs.get(packBlobId)!.length));
    const notes = (await diagnose(store)).findings.filter(({ text }) =>
      text.includes("as deleted"),
    );
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatchObject({ part: "packs", severity: "note", blobId: packBlobId });
    expect(notes[0]!.text).toContain("marked as deleted, and so are 2 more of the same pack");
  });

  it("one that is gone is told by path up to a bound, and by number beyond it", async () => {
    const { repository, store } = await newRepository();
    await using session = await repository.openWriteSession();
    const file = await fileIn(session, "f", bytes("in all of them"));
    const files = Array.from({ length: 1100 }, (_, at) => ({ ...file, name: `f${at + 1000}` }));
    const root = await directoryIn(session, "", [await directoryIn(session, "inner", files)]);
    const ids: string[] = [];
    for (let at = 0; at < 12; at += 1) {
      const startedAtNs = 1_700_000_000_000_000_000n + BigInt(at);
      ids.push((await snapshotIn(session, root, { startedAtNs })).id);
    }
    await session.commit();
    const { packBlobId } = (await (await open(store)).contentInfo(file.objectId as ContentId))!;
    store.blobs.delete(packBlobId);
    const { damagedSnapshots, findings } = await diagnose(store);
    expect(damagedSnapshots).toEqual(new Set(ids));
    const lost = findings.filter(({ part }) => part === "snapshots");
    expect(lost.filter(({ path }) => path !== undefined)).toHaveLength(10_000);
    expect(lost[0]!.path).toBe("inner/f1000");
    const numbers = lost.filter(({ path }) => path === undefined);
    expect(numbers.map(({ snapshotId }) => snapshotId)).toEqual(ids);
    const texts = numbers.map(({ text }) => text.slice(text.indexOf("/p: ")));
    expect(texts.slice(0, 10)).toEqual(
      Array.from({ length: 10 }, () => "/p: 100 more paths that cannot be read"),
    );
    expect(new Set(texts.slice(10))).toEqual(new Set(["/p: 1100 paths that cannot be read"]));
  });

  it.each(["gone", "altered"])(
    "%s, whose contents another one has too, costs nothing",
    async (how) => {
      const { store } = await newRepository();
      const ids: string[] = [];
      // Two clients that do not know of each other's contents.
      const sessions = [];
      for (const repository of [await open(store), await open(store)])
        sessions.push(await repository.openWriteSession());
      for (const session of sessions) {
        const file = await fileIn(session, "both.txt", bytes("in both"));
        const root = await directoryIn(session, "", [file]);
        const startedAtNs = 1_700_000_000_000_000_000n + BigInt(ids.length);
        ids.push((await snapshotIn(session, root, { startedAtNs })).id);
      }
      for (const session of sessions) {
        await session.commit();
        await session[Symbol.asyncDispose]();
      }
      const [first, second] = idsOf(store, /^p/);
      expect(second).toBeDefined();
      const isUsed: boolean[] = [];
      for (const pack of [first!, second!]) {
        const damaged = copyOf(store);
        if (how === "gone") damaged.blobs.delete(pack);
        else damaged.blobs.set(pack, new Uint8Array(store.blobs.get(pack)!.length));
        const { findings, plan } = await diagnose(damaged);
        // The pack of which nothing is used is not missed.
        const used = plan.length > 0;
        const lost = findings.filter(({ severity }) => severity === "lost");
        expect(lost).toEqual([]);
        const repairable = findings.filter(({ severity }) => severity === "repairable");
        expect(repairable.map(({ blobId }) => blobId)).toEqual(used ? [pack] : []);
        await repairRepository(damaged, plan);
        await expectNoErrors(damaged, ids);
        expect(await diagnose(damaged)).toMatchObject({ ok: true, plan: [] });
        isUsed.push(used);
      }
      expect(isUsed).toContain(true);
    },
  );

  it.each(["gone", "altered"])(
    "%s, costs the next backup of the same data nothing once the snapshots are fixed",
    async (how) => {
      const { ids, store } = await twoSnapshots();
      const repository = await open(store);
      const [{ rootEntry }] = (await listSnapshots(repository)) as [Snapshot, Snapshot];
      const file = await findEntry(repository, rootEntry!, "inner/both.txt");
      const { packBlobId, packOffset } = (await repository.contentInfo(
        file.objectId as ContentId,
      ))!;
      if (how === "gone") store.blobs.delete(packBlobId);
      else store.blobs.get(packBlobId)!.fill(0, packOffset, packOffset + 20);
      await repairRepository(store, (await diagnose(store)).plan);

      const fixing = await open(store);
      const rewrite = await unreadableFiles(fixing, { readFiles: 1 });
      const snapshots = await listSnapshots(fixing);
      await rewriteSnapshots(fixing, snapshots, { rewrite, commit: true });
      const { findings, ok, plan } = await diagnose(store);
      expect(ok).toBe(false);
      expect(findings.filter(({ severity }) => severity === "lost")).toEqual([]);
      expect(findings.map(({ text }) => text).join()).toContain("instead of storing it again");
      expect(plan.map((step) => step.do)).toEqual(["forgetContents"]);
      await repairRepository(store, plan);
      expect(await diagnose(store)).toMatchObject({ ok: true, plan: [] });

      await using session = await (await open(store)).openWriteSession();
      const again = await fileIn(session, "both.txt", bytes("in both"));
      await snapshotIn(session, await directoryIn(session, "", [again]));
      await session.commit();
      expect(again.objectId).toBe(file.objectId);
      const reader = await open(store);
      const after = await listSnapshots(reader);
      expect(after.length).toBe(ids.length + 1);
      expect((await verifySnapshots(reader, after)).findings).toEqual([]);
    },
  );

  it("a manifest content that cannot be read is left out, so that the other snapshots can be used", async () => {
    const { ids, store } = await twoSnapshots();
    const repository = await open(store);
    const contents: IndexEntry[] = [];
    for await (const entry of repository.listContents({ prefix: "m" })) contents.push(entry);
    const holders = new Map<string, IndexEntry>();
    for (const entry of contents) {
      const text = gunzipSync(await repository.readContent(entry.contentId)).toString();
      for (const id of ids) if (text.includes(id)) holders.set(id, entry);
    }
    const { contentId, packBlobId, packOffset } = holders.get(ids[0]!)!;
    store.blobs.get(packBlobId)![packOffset + 20]! ^= 1;
    await expect(listSnapshots(await open(store))).rejects.toThrow(contentId);
    const { findings, plan } = await diagnose(store);
    expect(findings).toEqual([
      expect.objectContaining({
        part: "manifests",
        severity: "lost",
        contentId,
        blobId: packBlobId,
      }),
    ]);
    await repairRepository(store, plan);
    expect((await listSnapshots(await open(store))).map(({ id }) => id)).toEqual([ids[1]]);
  });
});

describe("the format blob", () => {
  const golden = "v1-plain";

  it.each([
    ["altered", (blob: Uint8Array) => blob.map((byte, at) => (at === 300 ? byte ^ 1 : byte))],
    ["cut short", (blob: Uint8Array) => blob.subarray(0, 100)],
    ["empty", () => new Uint8Array(0)],
    ["gone", () => undefined],
  ])("%s, is written again from the newest pack", async (_, damage) => {
    const { blobs, expected } = loadGolden(golden);
    const store = memoryStore({ blobs });
    const whole = store.blobs.get("kopia.repository")!;
    const damaged = damage(whole);
    if (damaged) store.blobs.set("kopia.repository", damaged);
    else store.blobs.delete("kopia.repository");
    const options = { password: expected.password, deriveKey: memoisedDeriveKey };
    const { findings, plan } = await diagnoseRepository(store, options);
    expect(findings).toEqual([
      expect.objectContaining({
        part: "format",
        severity: "repairable",
        blobId: "kopia.repository",
      }),
    ]);
    await repairRepository(store, plan);
    expect(store.blobs.get("kopia.repository")).toEqual(whole);
    expect(store.blobs.get("dm.damaged.kopia.repository")).toEqual(damaged);
    expect((await diagnoseRepository(store, options)).ok).toBe(true);
  });

  it("comes from the pack with the latest versions, whatever times the store gives", async () => {
    const { blobs, expected } = loadGolden("v1-index-v2");
    const whole = blobs.get("kopia.repository")!;
    const packs = [...blobs.keys()].filter((id) => /^[pq]/.test(id)).sort();
    const chosen = new Set<string>();
    for (const newest of packs) {
      const store = memoryStore({ blobs });
      store.blobs.delete("kopia.repository");
      for (const id of packs) store.setTimestamp(id, id === newest ? 2n : 1n);
      const options = { password: expected.password, deriveKey: memoisedDeriveKey };
      const { plan } = await diagnoseRepository(store, { ...options, readData: false });
      await repairRepository(store, plan);
      expect(store.blobs.get("kopia.repository")).toEqual(whole);
      for (const { text } of plan) chosen.add(text);
    }
    expect(chosen.size).toBeGreaterThan(1);
  });

  it("is not replaced by a copy that the password does not open", async () => {
    const { blobs } = loadGolden(golden);
    const store = memoryStore({ blobs });
    store.blobs.get("kopia.repository")![300]! ^= 1;
    const options = { password: "another one", deriveKey: memoisedDeriveKey };
    const { findings, opens, plan } = await diagnoseRepository(store, options);
    expect({ opens, plan }).toEqual({ opens: false, plan: [] });
    expect(findings[0]!.text).toContain("which cannot be used");
  });

  it("is not replaced by one from before the upgrade of the repository", async () => {
    const { blobs, expected } = loadGolden("v1-upgraded-to-v3");
    const store = memoryStore({ blobs });
    store.blobs.delete("kopia.repository");
    const options = { password: expected.password, deriveKey: memoisedDeriveKey };
    const { opens, plan } = await diagnoseRepository(store, options);
    expect(opens).toBe(true);
    const repaired = copyOf(store);
    await repairRepository(repaired, plan);
    expect((await diagnoseRepository(repaired, options)).ok).toBe(true);
    // All packs that are left were written before the upgrade.
    for (const id of idsOf(store, /^[pq].*-see108a948ef40d31147$/)) store.blobs.delete(id);
    const older = await diagnoseRepository(store, options);
    expect({ opens: older.opens, plan: older.plan }).toEqual({ opens: false, plan: [] });
    expect(older.findings[0]!.text).toContain("from before the upgrade");
  });
});

describe("the plan", () => {
  /** Damage of every kind that can be repaired, at once. */
  async function muchDamage(): Promise<{ store: MemoryStore; ids: string[] }> {
    const { ids, store } = await twoSnapshots();
    const [gone, altered] = indexBlobs(store).slice(-2);
    store.blobs.delete(gone!);
    store.blobs.set(altered!, bytes("altered"));
    store.blobs.set("kopia.maintenance", bytes("nonsense"));
    store.blobs.set("kopia.blobcfg", bytes("nonsense that is long enough to be one"));
    return { store, ids };
  }

  it("is exactly what is written, in its order, and a diagnosis writes nothing", async () => {
    const { ids, store } = await muchDamage();
    const before = new Map(store.blobs);
    const counted = counting(store);
    const { plan } = await diagnose(counted);
    expect(counted.counts).toMatchObject({ put: 0, delete: 0, extendRetention: 0 });
    expect(new Map(store.blobs)).toEqual(before);

    const writes: string[] = [];
    const logged: BlobStore = {
      ...forward(store),
      put: async (id, data, options) => {
        writes.push(`put ${id} ${data.length}`);
        await store.put(id, data, options);
      },
      delete: async (id, options) => {
        writes.push(`delete ${id}`);
        await store.delete(id, options);
      },
    };
    const steps: string[] = [];
    await repairRepository(logged, plan, { onStep: ({ text }) => steps.push(text) });
    expect(writes).toEqual(
      plan.flatMap((step) =>
        step.writes.map((write) =>
          write.do === "put"
            ? `put ${write.blobId} ${write.data.length}`
            : `delete ${write.blobId}`,
        ),
      ),
    );
    expect(steps).toEqual(plan.map(({ text }) => text));
    expect(writes.filter((text) => /^delete [pq]/.test(text))).toEqual([]);
    await expectSound(store, ids);
    expect(await diagnose(store)).toMatchObject({ ok: true, plan: [] });
  });

  it("is refused when a blob has changed since, before that blob is touched", async () => {
    const { store } = await muchDamage();
    const { plan } = await diagnose(store);
    const altered = bytes("somebody was faster");
    store.blobs.set("kopia.maintenance", altered);
    await expect(repairRepository(store, plan)).rejects.toMatchObject({
      code: "DM_REPAIR_OUTDATED",
    });
    expect(store.blobs.get("kopia.maintenance")).toBe(altered);
  });

  it("is refused on a store that is open for reading only", async () => {
    const { store } = await muchDamage();
    const closed = readOnly(store);
    const { plan } = await diagnose(closed);
    await expect(repairRepository(closed, plan)).rejects.toMatchObject({
      code: "DM_STORE_READ_ONLY",
    });
    await repairRepository(closed, []);
  });

  it("cut off at any call loses nothing, and the next diagnosis ends the work", async () => {
    const { ids, store } = await muchDamage();
    const { plan } = await diagnose(store);
    const calls = plan.reduce((sum, { writes }) => sum + 2 * writes.length, 0);
    let kills = 0;
    for (let killAt = 0; killAt < calls; killAt += 1) {
      for (const isDone of [false, true]) {
        const damaged = copyOf(store);
        const dying = dyingStore(damaged, killAt, isDone);
        await expect(repairRepository(dying, plan)).rejects.toThrow("killed");
        kills += 1;
        for (const [id, data] of store.blobs) {
          const kept = damaged.blobs.get(id) ?? damaged.blobs.get(`${damagedBlobPrefix}${id}`);
          expect(toHex(kept!), id).toBe(toHex(data));
        }
        await repairRepository(damaged, (await diagnose(damaged)).plan);
        await expectSound(damaged, ids);
      }
    }
    console.log(`repairs cut off: ${kills} at ${calls} calls`);
    expect(kills).toBeGreaterThan(20);
  });

  it("comes to the same when a diagnosis is made in the middle of it", async () => {
    const { ids, store } = await muchDamage();
    for (let rounds = 0; rounds < 20; rounds += 1) {
      const { plan } = await diagnose(store);
      if (plan.length === 0) break;
      await repairRepository(store, plan.slice(0, 1));
    }
    await expectSound(store, ids);
    expect(await diagnose(store)).toMatchObject({ ok: true, plan: [] });
  });
});

/** A store whose process dies at a call: before it, or once it is done and before its answer. */
function dyingStore(store: BlobStore, killAt: number, isDone: boolean): BlobStore {
  let calls = 0;
  const call = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    const at = calls++;
    if (at > killAt || (at === killAt && !isDone)) throw new Error("killed");
    const result = await work().catch((error: unknown) => {
      if (at === killAt) throw new Error("killed");
      throw error;
    });
    if (at === killAt) throw new Error("killed");
    return result;
  };
  return {
    ...forward(store),
    get: (id, options) => call(() => store.get(id, options)),
    put: (id, data, options) => call(() => store.put(id, data, options)),
    delete: (id, options) => call(() => store.delete(id, options)),
  };
}
