// Worker threads restore what the calling thread restores: the same files, attributes and losses, for repositories with error
// correction and of the first version too. A thread that is lost fails the restore, and leaves no half file.
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyPatches, blobsOf, corruptCases, loadGolden } from "@dm/fixtures";
import { openRepository, type Repository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listSnapshots, type RestoreOptions } from "../src/index.ts";
import { restoreTree } from "../src/node/index.ts";
import { workerExecutor } from "../src/node/restore/worker-executor.ts";
import { memoisedDeriveKey, openGolden } from "./open-golden.ts";

/** Threads run the sources as they stand, and these say `await using`, which no Node before 24 understands. */
const runsSources = Number(process.versions.node.split(".")[0]) >= 24;
const title = runsSources
  ? "in worker threads"
  : "in worker threads (skipped: this Node runs no source with `using`)";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-restore-workers-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function listed(path: string, name = ""): string[] {
  const full = join(path, name);
  const stat = lstatSync(full, { bigint: true });
  const data = stat.isFile()
    ? createHash("sha256").update(readFileSync(full)).digest("hex")
    : stat.isSymbolicLink()
      ? readlinkSync(full)
      : "";
  const line = `${name} ${stat.mode} ${stat.uid} ${stat.gid} ${stat.mtimeNs} ${data}`;
  const children = stat.isDirectory() ? readdirSync(full).sort() : [];
  return [line, ...children.flatMap((child) => listed(path, join(name, child)))];
}

describe.skipIf(!runsSources)(title, () => {
  const both = async (repository: Repository, options: RestoreOptions = {}): Promise<void> => {
    const { rootEntry } = (await listSnapshots(repository)).at(-1)!;
    const inPlace = await restoreTree(repository, rootEntry!, join(folder, "in place"), {
      ...options,
      workers: 0,
    });
    const byWorkers = await restoreTree(repository, rootEntry!, join(folder, "by workers"), {
      ...options,
      workers: 2,
    });
    expect(byWorkers).toEqual(inPlace);
    expect(listed(join(folder, "by workers"))).toEqual(listed(join(folder, "in place")));
  };

  it.each(["v1-object-compression", "v2-ecc", "v3-many-files", "v3-big-file", "velero-fs"])(
    "%s is the same",
    async (name) => {
      const { repository } = await openGolden(name);
      await both(repository, { verifyContent: name === "v3-big-file" });
    },
  );

  it("loses the same to damage", async () => {
    const found = corruptCases().find(
      ({ detectedByKopia, name }) => detectedByKopia && /flip.*pack|pack.*flip|data/i.test(name),
    )!;
    const golden = loadGolden(found.repo);
    applyPatches(golden.files, found.patches);
    const repository = await openRepository(memoryStore({ blobs: blobsOf(golden.files) }), {
      password: golden.expected.password,
      deriveKey: memoisedDeriveKey,
      readOnly: true,
    });
    await both(repository);
  });

  it("fails when a thread is lost, whatever it is asked then", async () => {
    const { repository } = await openGolden("v3-flat");
    const format = { ...repository.format, hash: "no such hash" };
    await using executor = workerExecutor(format, {} as never, 1);
    const nothing = { buffers: [], contents: [] };
    for (let time = 0; time < 2; time++) {
      await expect(executor.restoreEntries([], nothing)).rejects.toMatchObject({
        code: "DM_WORKER_LOST",
        message: expect.stringContaining("no such hash"),
      });
    }
  });

  it("refuses a number of threads that is none", async () => {
    const { repository } = await openGolden("v3-flat");
    const { rootEntry } = (await listSnapshots(repository)).at(-1)!;
    for (const workers of [-1, 1.5, Number.NaN])
      await expect(restoreTree(repository, rootEntry!, folder, { workers })).rejects.toThrow(
        RangeError,
      );
  });
});
