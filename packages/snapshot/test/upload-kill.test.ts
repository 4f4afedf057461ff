// An upload that ends at any call of the store, before it or behind it, leaves nothing that cannot be read: every snapshot
// that is listed afterwards verifies, and the next run goes on and makes the snapshot that an unbroken run makes. All
// moments with DM_FULL=1, a seeded sample otherwise. Processes are really killed (SIGKILL) at moments by chance.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "@dm/core";
import { generate, seededRandom } from "@dm/fixtures";
import { createRepository, openRepository, type Repository } from "@dm/repo";
import { type BlobStore, memoryStore } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, expect, it } from "vitest";
import {
  listSnapshots,
  type Snapshot,
  type SourceEntry,
  uploadSnapshot,
  verifySnapshot,
} from "../src/index.ts";
import { openLocalSource } from "../src/node/index.ts";
import { directory, file, link } from "./memory-source.ts";

const isFull = Boolean(process.env["DM_FULL"]);
const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const random = seededRandom(seed);
const source = { host: "h", userName: "u", path: "/p" };
const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const totals = { cuts: 0, kills: 0, snapshotsVerified: 0, checkpoints: 0, resumed: 0 };

afterAll(() => {
  console.log(
    `uploads cut at ${totals.cuts} calls of the store and killed ${totals.kills} times; ` +
      `${totals.snapshotsVerified} snapshots verified, ${totals.checkpoints} of them checkpoints, ` +
      `${totals.resumed} runs went on in a large file (DM_SEED=${seed})`,
  );
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const large = generate({ kind: "splitmix64", seed: 2, len: 3_000_000 });

/** Slow enough for a checkpoint in its middle. */
function tree(): { root: SourceEntry; reads: number[] } {
  const slow = file("large", large, { sliceBytes: 200_000, onSlice: () => pause(1) });
  const small = (count: number): SourceEntry[] =>
    Array.from({ length: count }, (_, index) => file(`${index}`, `${index}`.repeat(300)));
  const sub = directory("sub", [slow, link("l", "large"), directory("deep", small(20))]);
  return { root: directory("root", [...small(5), sub]), reads: slow.reads };
}

/** Its sleep is short: checkpoints come all the time. */
const hasty: Clock = {
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
  sleep: async (_ms, { signal } = {}) => {
    await pause(4);
    signal?.throwIfAborted();
  },
};

/** A store that is gone from call `cutAt` on; that call itself may still have had its effect. */
function cutStore(store: BlobStore, cutAt: number, takesEffect: boolean) {
  let calls = 0;
  const counted = new Proxy(store, {
    get(target, name: keyof BlobStore) {
      const member = target[name];
      if (typeof member !== "function" || name === "close") return member;
      return (...parameters: never[]) => {
        calls += 1;
        const call = () => (member as (...all: never[]) => unknown).apply(target, parameters);
        if (calls < cutAt) return call();
        const cut = new Error("the store is gone");
        const effect = calls === cutAt && takesEffect && name !== "list" ? call() : undefined;
        if (name === "list") throw cut;
        return Promise.resolve(effect).then(() => Promise.reject(cut));
      };
    },
  });
  return { store: counted, calls: () => calls };
}

const open = (store: BlobStore): Promise<Repository> =>
  openRepository(store, { password: "p", deriveKey });

/** A repository with short chunks, and the same hashes each time. */
async function newRepositoryIn(store: BlobStore): Promise<BlobStore> {
  const format = {
    splitter: "DYNAMIC-128K-BUZHASH",
    secret: new Uint8Array(32).fill(1),
    masterKey: new Uint8Array(32).fill(2),
  };
  await createRepository(store, { password: "p", deriveKey, format });
  return store;
}

const newStore = (): Promise<BlobStore> => newRepositoryIn(memoryStore());

async function expectSound(repository: Repository): Promise<Snapshot[]> {
  const snapshots = await listSnapshots(repository);
  for (const snapshot of snapshots) {
    const { findings } = await verifySnapshot(repository, snapshot, { readFiles: "all" });
    expect(findings).toEqual([]);
    totals.snapshotsVerified += 1;
    if (snapshot.incompleteReason === "checkpoint") totals.checkpoints += 1;
  }
  return snapshots;
}

it("a store that is gone at any moment", { timeout: 600_000 }, async () => {
  const whole = await open(await newStore());
  const { rootEntry } = await uploadSnapshot(whole, tree().root, { source });
  let moments = 0;
  {
    const { calls, store } = cutStore(await newStore(), Number.POSITIVE_INFINITY, false);
    await uploadSnapshot(await open(store), tree().root, { source, clock: hasty });
    moments = calls();
  }
  expect(moments).toBeGreaterThan(15);
  const every = Array.from({ length: moments }, (_, index) => index + 1);
  const chosen = isFull ? every : every.filter(() => random.pick([0, 1, 2]) === 0).slice(0, 16);
  for (const cutAt of chosen) {
    for (const takesEffect of isFull ? [false, true] : [random.pick([false, true])]) {
      totals.cuts += 1;
      const inner = await newStore();
      const { store } = cutStore(inner, cutAt, takesEffect);
      await Promise.resolve()
        .then(async () => uploadSnapshot(await open(store), tree().root, { source, clock: hasty }))
        .catch((error: Error) => expect(error.message).toContain("the store is gone"));
      const repository = await open(inner);
      await expectSound(repository);
      const { reads, root } = tree();
      const next = await uploadSnapshot(repository, root, { source });
      if ((reads[0] ?? 0) > 0) totals.resumed += 1;
      expect(next.rootEntry).toEqual(rootEntry);
      const snapshots = await expectSound(repository);
      expect(snapshots.at(-1)).toEqual(next);
    }
  }
});

/** The child runs sources as they stand, and these say `await using`, which no Node before 24 understands. */
const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
const skipped = runsSources ? "" : " (skipped: this Node runs no source with `using`)";

it.skipIf(!runsSources)(`a process that is killed${skipped}`, { timeout: 600_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-kill-"));
  try {
    const local = join(folder, "tree");
    mkdirSync(join(local, "sub"), { recursive: true });
    writeFileSync(
      join(local, "sub", "large"),
      generate({ kind: "splitmix64", seed: 4, len: 60_000_000 }),
    );
    for (let index = 0; index < 200; index++) writeFileSync(join(local, `${index}`), `${index}`);
    const root = await openLocalSource(local);
    const whole = await uploadSnapshot(await open(await newStore()), root, { source });
    for (let kill = 0; kill < (isFull ? 40 : 1); kill++) {
      const path = join(folder, `repository ${kill}`);
      const store = filesystemStore({ path, create: true });
      await newRepositoryIn(store);
      const child = spawn(
        process.execPath,
        [
          "--conditions=@dm/source",
          join(import.meta.dirname, "upload-kill-child.ts"),
          ...[local, path],
        ],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
      await new Promise<void>((resolve) => {
        child.stdout.once("data", () => resolve());
        child.once("close", () => resolve());
      });
      await pause(random.pick([0, 20, 60, 100, 150, 200, 300]));
      child.kill("SIGKILL");
      await ended;
      totals.kills += 1;
      const repository = await open(store);
      await expectSound(repository);
      let firstBytes = 0;
      const next = await uploadSnapshot(repository, root, {
        source,
        onProgress: ({ hashedBytes }) => {
          firstBytes = hashedBytes;
        },
      });
      if (firstBytes > 0 && firstBytes < 60_000_000) totals.resumed += 1;
      expect(next.rootEntry).toEqual(whole.rootEntry);
      await expectSound(repository);
      rmSync(path, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
