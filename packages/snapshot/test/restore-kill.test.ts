// A restore that is killed (SIGKILL) at any call of the store, between any two steps of a file, in the calling thread or in
// worker threads, or at any other moment, leaves no half file under a final name; the next run keeps what is done, finishes the
// rest and removes what was left behind. A seeded sample here, every moment with DM_FULL=1.
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, splitmix64 } from "@dm/fixtures";
import { createRepository, openRepository, type Repository, type WriteSession } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DirectoryEntry, entryOfObject } from "../src/index.ts";
import { restoreTree } from "../src/node/index.ts";
import {
  type ChildEnd,
  type Death,
  deathsOf,
  isFull,
  runChild,
  runsSources,
  seed,
  skipped,
} from "./killed/run-child.ts";
import { directoryIn, fileIn } from "./new-repository.ts";
import { nearTime } from "./restored-times.ts";

const child = join(import.meta.dirname, "restore-kill-child.ts");
const hook = join(import.meta.dirname, "restore-kill-moments.ts");
const random = seededRandom(seed);
const sample = { moments: 2, byChance: isFull ? 40 : 1 };
const password = "p";
const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);

let folder = "";
let path = "";
let repository: Repository;
let root: DirectoryEntry;
const data = new Map<string, Uint8Array>();
const totals = { kills: 0, byChance: 0, inThreads: 0, kept: 0, leftovers: 0 };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-restore-kill-"));
  path = join(folder, "repository");
  mkdirSync(path);
  const made = await createRepository(filesystemStore({ path }), { password, deriveKey });
  const session = await made.openWriteSession();
  root = await make(session);
  await session.commit();
  await made.close();
  repository = await openRepository(filesystemStore({ path }), { password, deriveKey });
});
afterAll(async () => {
  await repository?.close();
  rmSync(folder, { recursive: true, force: true });
  console.log(
    `restores killed: ${totals.kills}, ${totals.inThreads} of them with worker threads, ${totals.byChance} by chance; ` +
      `files kept by the next run: ${totals.kept}, temporary files left behind: ${totals.leftovers} (DM_SEED=${seed})`,
  );
});

async function make(session: WriteSession): Promise<DirectoryEntry> {
  const file = async (where: string, name: string, bytes: Uint8Array): Promise<DirectoryEntry> => {
    data.set(where + name, bytes);
    return { ...(await fileIn(session, name, bytes)), mode: 0o640 };
  };
  const inner: DirectoryEntry[] = [];
  for (let index = 0; index < 12; index++)
    inner.push(await file("sub/", `f${index}`, splitmix64(index, 10_000 * index)));
  const link = await fileIn(session, "link", new TextEncoder().encode("sub/f1"));
  return directoryIn(session, "", [
    await directoryIn(session, "sub", inner),
    await file("", "long", splitmix64(99, 9_000_000)),
    { ...link, type: "s", mode: 0o777 },
  ]);
}

const restoreInChild = (
  target: string,
  workers: number,
  { afterMs, moment }: Death,
): Promise<ChildEnd> =>
  runChild(child, [path, root.objectId, target, `${moment}`, `${workers}`], {
    afterMs,
    environment: { NODE_OPTIONS: `--import=${hook}` },
  });

const isTemporary = (name: string): boolean => name.includes(".dm-restore-");

/** Complete files by path; everything under a final name must be one. */
function wholeFiles(target: string): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(target, { recursive: true, encoding: "utf8" });
  } catch {
    // Killed before there was a target.
  }
  const found: string[] = [];
  for (const name of names.filter((each) => !isTemporary(each))) {
    const stat = lstatSync(join(target, name), { bigint: true });
    if (!stat.isFile()) continue;
    expect(Buffer.compare(readFileSync(join(target, name)), data.get(name)!), name).toBe(0);
    expect([name, Number(stat.mode) & 0o7777]).toEqual([name, 0o640]);
    const timeNs = 1_700_000_000_000_000_001n;
    expect([name, nearTime(stat.mtimeNs, timeNs)]).toEqual([name, timeNs]);
    found.push(name);
  }
  return found;
}

async function expectFinished(target: string): Promise<void> {
  const kept = wholeFiles(target);
  totals.kept += kept.length;
  const left = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(isTemporary);
  totals.leftovers += left.length;
  const report = await restoreTree(repository, entryOfObject(root.objectId), target, {
    resume: true,
  });
  expect(report).toMatchObject({
    losses: [],
    skippedCount: kept.length,
    filesDone: data.size - kept.length,
  });
  expect(wholeFiles(target)).toHaveLength(data.size);
  const after = readdirSync(target, { recursive: true, encoding: "utf8" });
  expect(after.filter(isTemporary)).toEqual([]);
  rmSync(target, { recursive: true, force: true });
}

describe.skipIf(!runsSources)(`a restore killed at any moment${skipped}`, () => {
  it.each([0, 2])(
    "with %i worker threads leaves whole files, and the next run finishes",
    async (workers) => {
      const uncut = join(folder, `uncut ${workers}`);
      const whole = await restoreInChild(uncut, workers, { moment: 0 });
      const moments = whole.moments!;
      expect(moments).toBeGreaterThan(100);
      expect(wholeFiles(uncut)).toHaveLength(data.size);
      const deaths = deathsOf(whole, sample, random);
      for (const [index, death] of deaths.entries()) {
        const target = join(folder, `${workers} ${index}`);
        const { killed } = await restoreInChild(target, workers, death);
        // Threads share their work differently each time, by a moment or two.
        const mayLive = death.moment === 0 || (workers > 0 && death.moment > moments - 20);
        if (!mayLive) expect([death.moment, killed]).toEqual([death.moment, true]);
        if (killed) {
          totals.kills += 1;
          if (workers > 0) totals.inThreads += 1;
          if (death.moment === 0) totals.byChance += 1;
        }
        await expectFinished(target);
      }
    },
    isFull ? 1_800_000 : 60_000,
  );
});
