// Copies of a repository that the real kopia uses: kopia connects to them, finds every content and every file sound, and has
// nothing left to copy itself; and we go on with a copy that kopia has begun.
import { mkdirSync, rmSync } from "node:fs";
import { requirePeer, splitmix64 } from "@dm/fixtures";
import type { BlobStore } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";
import { expect, it } from "vitest";
import { syncRepository } from "../src/index.ts";
import { Kopia } from "./interop/kopia.ts";
import { sourceOf, theirRepository } from "./interop/shared.ts";

const peer = requirePeer("kopia");
const patient = { timeout: 120_000 };

async function blobsIn(store: BlobStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of store.list("")) ids.push(id);
  return ids.sort();
}

it.skipIf(!peer.available)(
  peer.title("kopia uses our copy, and we go on with its"),
  patient,
  async () => {
    await using kopia = await theirRepository(peer.path, []);
    await using second = await Kopia.inNewFolder(peer.path);
    const source = filesystemStore({ path: kopia.repositoryPath });
    const target = filesystemStore({ path: second.repositoryPath });
    const write = async (number: number): Promise<void> => {
      const data = new Map([
        ["same", splitmix64(1, 50_000)],
        ["new", splitmix64(number, 90_000)],
      ]);
      const folder = await sourceOf(kopia, "data", data);
      await kopia.run("snapshot", "create", folder);
    };
    const expectCopy = async (count: number): Promise<void> => {
      expect(await blobsIn(target)).toEqual(await blobsIn(source));
      await second.forget();
      await second.run("repository", "connect", "filesystem", "--path", second.repositoryPath);
      await second.run("snapshot", "verify", "--verify-files-percent=100");
      await second.verifyContents();
      expect(await second.json<unknown[]>("snapshot", "list", "--all")).toHaveLength(count);
    };

    await write(2);
    await syncRepository(source, target, { times: true });
    await expectCopy(1);
    const to = ["sync-to", "filesystem", "--path", second.repositoryPath];
    const { stderr } = await kopia.run("repository", ...to, "--times", "--dry-run");
    expect(stderr).toMatch(/Found 0 BLOBs to delete \(0 B\), (\d+) in sync/);
    expect(stderr).not.toMatch(/[1-9]\d* \([^)]*\) to copy/);

    await write(3);
    await kopia.run("maintenance", "run", "--full", "--safety=none");
    const report = await syncRepository(source, target, { delete: true, times: true });
    expect(report.deleted.blobs).toBeGreaterThan(0);
    await expectCopy(2);

    // Of a copy by kopia half is gone.
    rmSync(second.repositoryPath, { recursive: true });
    mkdirSync(second.repositoryPath);
    await kopia.run("repository", ...to);
    const half = (await blobsIn(target)).filter((_, index) => index % 2 === 0);
    for (const id of half) await target.delete(id);
    const { copied } = await syncRepository(source, target);
    expect(copied.blobs).toBeGreaterThanOrEqual(half.length);
    await expectCopy(2);
  },
);
