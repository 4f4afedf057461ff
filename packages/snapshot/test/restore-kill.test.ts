// A restore that is killed (SIGKILL) at any call of the store, or between any two steps of a file, leaves no half file under a
// final name; the next run keeps what is done, finishes the rest and removes what was left behind. A seeded sample here, every
// moment with DM_FULL=1.
import { spawn } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, splitmix64 } from "@dm/fixtures";
import { createRepository, openRepository, type Repository, type WriteSession } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DirectoryEntry, entryOfObject } from "../src/index.ts";
import { restoreTree } from "../src/node/index.ts";
import { directoryIn, fileIn } from "./new-repository.ts";
import { nearTime } from "./restored-times.ts";

const child = join(import.meta.dirname, "restore-kill-child.ts");
/** The child runs sources as they stand, and these say `await using`, which no Node before 24 understands. */
const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
const title = `a restore killed at any moment${runsSources ? "" : " (skipped: this Node runs no source with `using`)"}`;
const seed = Number(process.env["DM_SEED"] ?? 1 + Math.floor(Math.random() * 1e6));
const isFull = process.env["DM_FULL"] === "1";
const sampleSize = 6;
const password = "p";
const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);

let folder = "";
let path = "";
let repository: Repository;
let root: DirectoryEntry;
const data = new Map<string, Uint8Array>();
const totals = { kills: 0, kept: 0, leftovers: 0 };

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
    `restores killed: ${totals.kills}, files kept by the next run: ${totals.kept}, ` +
      `temporary files left behind: ${totals.leftovers} (DM_SEED=${seed})`,
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

function runChild(target: string, moment: number): Promise<{ moments: number; killed: boolean }> {
  const args = ["--conditions=@dm/source", child, path, root.objectId, target, String(moment)];
  const started = spawn(process.execPath, args, {
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaints = "";
  started.stdout.on("data", (piece: Buffer) => {
    output += piece.toString();
  });
  started.stderr.on("data", (piece: Buffer) => {
    complaints += piece.toString();
  });
  return new Promise((resolve, reject) => {
    started.on("error", reject);
    started.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") {
        const moments = Number(/^moments (\d+)$/m.exec(output)?.[1] ?? 0);
        resolve({ moments, killed: signal === "SIGKILL" });
      } else reject(new Error(`child ended with ${code ?? signal}: ${complaints}`));
    });
  });
}

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

describe.skipIf(!runsSources)(title, () => {
  it(
    "leaves whole files, and the next run finishes",
    async () => {
      const { moments } = await runChild(join(folder, "uncut"), 0);
      expect(moments).toBeGreaterThan(100);
      expect(wholeFiles(join(folder, "uncut"))).toHaveLength(data.size);
      const random = seededRandom(seed);
      const chosen = isFull
        ? Array.from({ length: moments }, (_, index) => index + 1)
        : Array.from({ length: sampleSize }, () => 1 + random.integer(moments));
      for (const moment of chosen) {
        const target = join(folder, `at ${moment}`);
        const { killed } = await runChild(target, moment);
        expect([moment, killed]).toEqual([moment, true]);
        totals.kills += 1;
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
        rmSync(target, { recursive: true });
      }
    },
    isFull ? 900_000 : 60_000,
  );
});
