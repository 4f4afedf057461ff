// Who holds a key that may not delete backs up, restores and maintains; who holds one that may only read sees and restores
// everything and changes nothing. The server enforces it, and its log is the witness.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogFields, Logger } from "@dm/core";
import { memoryCache, runMaintenance, verifyRepository } from "@dm/repo";
import { staticCredentials } from "@dm/storage/s3";
import {
  type AccessKey,
  readerPermissions,
  testAccessKey,
  writerPermissions,
} from "@dm/storage/testing/s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collectGarbage, deleteSnapshots, listSnapshots, verifySnapshots } from "../src/index.ts";
import { createSnapshot, restoreTree } from "../src/node/index.ts";
import { S3Bucket } from "./s3-bucket.ts";

const key = (accessKeyId: string, permissions: AccessKey["permissions"]): AccessKey => ({
  accessKeyId,
  secretAccessKey: `secret of ${accessKeyId}`,
  permissions,
});
const reader = key("READER", readerPermissions);
const writer = key("WRITER", writerPermissions);
const folder = mkdtempSync(join(tmpdir(), "dm-roles-"));
const tree = join(folder, "tree");
const source = { host: "h", userName: "u", path: "/tree" };
const as = (accessKey: AccessKey) => ({ credentials: staticCredentials(accessKey) });

/** What was told at `info` and above. */
function hearing(): { readonly logger: Logger; readonly told: string[] } {
  const told: string[] = [];
  const tell = (message: string, _fields?: LogFields): void => {
    told.push(message);
  };
  return { told, logger: { debug: () => {}, info: tell, warn: tell, error: tell } };
}

let bucket: S3Bucket;
beforeAll(async () => {
  mkdirSync(join(tree, "sub"), { recursive: true });
  for (let file = 0; file < 20; file++)
    writeFileSync(join(tree, file % 2 ? "sub" : ".", `f${file}`), `file ${file}\n`.repeat(500));
  bucket = await S3Bucket.start({ accessKeys: [testAccessKey, reader, writer] });
});
afterAll(async () => {
  await bucket[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** What the server was asked with a key since it was counted last, and what it refused. */
function asked({ accessKeyId }: AccessKey, from: number) {
  const calls = bucket.server.log.filter(
    (entry) => entry.number > from && entry.accessKeyId === accessKeyId,
  );
  return {
    changes: calls.filter(({ operation }) =>
      /^(?:Put|Delete|Post|Create|Copy)/.test(operation ?? ""),
    ),
    refused: calls.filter(({ code }) => code === "AccessDenied"),
  };
}
const lastNumber = (): number => bucket.server.log.at(-1)?.number ?? 0;

describe("a writer that may not delete", () => {
  it("backs up, restores and verifies, and is told once what it leaves behind", async () => {
    const { logger, told } = hearing();
    const repository = await bucket.open(as(writer), { logger });
    const before = bucket.blobIds;
    const first = await createSnapshot(repository, tree, { source, workers: 0 });
    expect(told).toEqual(["Left session markers to maintenance: these credentials may not delete"]);
    writeFileSync(join(tree, "f0"), "changed");
    const second = await createSnapshot(repository, tree, { source, workers: 0 });
    expect(second.stats).toMatchObject({ cachedFiles: 19, nonCachedFiles: 1 });
    for (const id of before) expect(bucket.blobIds).toContain(id);
    expect(bucket.blobIds.filter((id) => id.startsWith("s")).length).toBe(2);

    const target = join(folder, "restored");
    expect((await restoreTree(repository, second.rootEntry, target)).ok).toBe(true);
    expect(readFileSync(join(target, "f0"), "utf8")).toBe("changed");
    const snapshots = [first, second];
    expect((await verifySnapshots(repository, snapshots, { readFiles: "all" })).ok).toBe(true);
  });

  it("deletes snapshots, which are gone, and leaves their data to maintenance", async () => {
    const repository = await bucket.open(as(writer));
    const [oldest, ...others] = await listSnapshots(repository);
    await using session = await repository.openWriteSession();
    await deleteSnapshots(session, [oldest!]);
    await session.commit();
    const left = await listSnapshots(await bucket.open());
    expect(left.map(({ id }) => id)).toEqual(others.map(({ id }) => id));
  });

  it("runs maintenance: what is to be deleted is skipped with one notice, the rest is done", async () => {
    const { logger, told } = hearing();
    const repository = await bucket.open(as(writer), { logger });
    const before = bucket.blobIds;
    const options = { force: true, mode: "full", safety: "none", collectGarbage } as const;
    for (let run = 0; run < 2; run++) await runMaintenance(repository, options);
    const { tasks } = await runMaintenance(repository, options);
    const skipped = tasks.filter((task) => task.skipped?.includes("may not delete"));
    expect(skipped.map(({ task }) => task)).toContain("full-delete-blobs");
    expect(skipped[0]!.skipped).toContain("s3:DeleteObject");
    expect(tasks.map(({ task }) => task)).toEqual(
      expect.arrayContaining(["snapshot-gc", "advance-epoch", "cleanup-logs"]),
    );
    // Each run tells it.
    const notice = "Left blobs that maintenance would delete: not permitted";
    expect(told.filter((message) => message === notice).length).toBeLessThanOrEqual(3);
    expect(told).toContain(notice);
    for (const id of before) expect(bucket.blobIds).toContain(id);

    // Whoever may, does it.
    const owner = await bucket.open();
    const done = await runMaintenance(owner, options);
    expect(done.tasks.some((task) => task.skipped?.includes("may not delete"))).toBe(false);
    expect((await verifyRepository(owner)).ok).toBe(true);
    const left = await listSnapshots(owner);
    expect((await verifySnapshots(owner, left, { readFiles: "all" })).ok).toBe(true);
  });
});

describe("a reader", () => {
  it("opens, lists, verifies and restores, and asks for no change", async () => {
    const caches = { metadata: memoryCache({ maxBytes: 1 << 20 }) };
    const from = lastNumber();
    const repository = await bucket.open(as(reader), { caches });
    const snapshots = await listSnapshots(repository);
    expect(snapshots.length).toBeGreaterThan(0);
    const newest = snapshots.at(-1)!;
    expect((await restoreTree(repository, newest.rootEntry!, join(folder, "read"))).ok).toBe(true);
    expect(readFileSync(join(folder, "read", "f0"), "utf8")).toBe("changed");
    expect((await verifySnapshots(repository, snapshots, { readFiles: "all" })).ok).toBe(true);
    expect((await verifyRepository(repository)).ok).toBe(true);
    expect(asked(reader, from)).toEqual({ changes: [], refused: [] });
    expect(caches.metadata.usedBytes).toBeGreaterThan(0);
  });

  it("cannot back up, delete or maintain: the error names the permission, and nothing changes", async () => {
    const repository = await bucket.open(as(reader));
    const before = bucket.blobIds;
    const denied = { name: "AccessError", code: "DM_STORE_ACCESS_DENIED" };
    const snapshot = createSnapshot(repository, tree, { source, workers: 0 });
    await expect(snapshot).rejects.toMatchObject(denied);
    await expect(snapshot).rejects.toThrow("s3:PutObject");
    await expect(runMaintenance(repository, { force: true, mode: "full" })).rejects.toMatchObject(
      denied,
    );
    expect(bucket.blobIds).toEqual(before);
  });

  it("that says so is refused here, before the server is asked", async () => {
    const repository = await bucket.open(as(reader), { readOnly: true });
    const from = lastNumber();
    await expect(createSnapshot(repository, tree, { source })).rejects.toMatchObject({
      code: "DM_REPOSITORY_READ_ONLY",
    });
    expect(asked(reader, from).changes).toEqual([]);
  });
});
