// Uploads of local files by worker threads: the same snapshots as in place, also when a run was cut off and the next goes on.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import {
  readDirectory,
  type Snapshot,
  type UploadSnapshotOptions,
  uploadSnapshot,
  verifySnapshot,
} from "../src/index.ts";
import { createDataPlane, openLocalSource } from "../src/node/index.ts";
import { newRepository } from "./new-repository.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-workers-"));
const source = { host: "h", userName: "u", path: folder };
const largeBytes = 30_000_000;

let repository: Repository;
beforeAll(() => {
  writeFileSync(join(folder, "large"), generate({ kind: "splitmix64", seed: 3, len: largeBytes }));
  for (let index = 0; index < 300; index++) {
    mkdirSync(join(folder, `d${index % 7}`), { recursive: true });
    writeFileSync(join(folder, `d${index % 7}`, `f${index}`), `${index}`.repeat(index));
  }
  symlinkSync("large", join(folder, "link"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(async () => {
  ({ repository } = await newRepository());
});

async function upload(
  workers: number,
  options: Partial<UploadSnapshotOptions> = {},
): Promise<Snapshot> {
  await using session = await repository.openWriteSession();
  await using dataPlane = createDataPlane(session, { workers });
  const root = await openLocalSource(folder);
  return await uploadSnapshot(session, root, { source, dataPlane, ...options });
}

it("make the same snapshot as one thread, and everything in it can be read", async () => {
  const first = await upload(2);
  expect((await verifySnapshot(repository, first, { readFiles: "all" })).ok).toBe(true);
  const second = await upload(0, { previous: [] });
  expect(second.rootEntry).toEqual(first.rootEntry);
  expect(second.stats).toEqual(first.stats);
  const third = await upload(2);
  expect(third.stats).toMatchObject({ cachedFiles: 302, nonCachedFiles: 0 });
});

it.each([0, 2])("%i workers: a run that was cut off is gone on from", async (workers) => {
  const interruption = new AbortController();
  const cut = await upload(workers, {
    saveOnAbort: true,
    signal: interruption.signal,
    onProgress: ({ hashedBytes }) => {
      if (hashedBytes > largeBytes / 3) interruption.abort(new Error("enough"));
    },
    uploadLimitBytes: largeBytes / 2,
  });
  expect(cut.incompleteReason).toMatch(/canceled|limit reached/);
  const { entries } = await readDirectory(repository, cut.rootEntry!);
  const partial = entries.find(({ name }) => name.startsWith(".checkpointed.large."));
  // Threads on a busy machine may have stored the whole file, or no chunk of it, when the run hears of the limit.
  const stored = partial ?? entries.find(({ name }) => name === "large");
  const storedBytes = stored?.sizeBytes ?? 0;
  if (workers === 0) expect(partial?.sizeBytes).toBeGreaterThan(0);
  let readBytes = 0;
  const next = await upload(workers, {
    onProgress: ({ hashedBytes }) => {
      readBytes = hashedBytes;
    },
  });
  // Small files that were under way are read again.
  expect(readBytes).toBeLessThan(largeBytes - storedBytes + 1_000_000);
  const fresh = await upload(workers, { previous: [] });
  expect(next.rootEntry).toEqual(fresh.rootEntry);
});
