// The same repository, fixed by the real kopia and by us, has the same roots; kopia verifies, to the last byte, and restores
// what we have fixed, and finds nothing left to fix.
import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { splitmix64 } from "@dm/fixtures";
import { beforeAll, describe, expect, it } from "vitest";
import {
  listSnapshots,
  type RewriteEntry,
  readDirectory,
  rewriteSnapshots,
  type Snapshot,
  unreadableFiles,
  withoutFiles,
} from "../src/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

const patient = { timeout: 120_000 };

/** A repository of kopia's with three snapshots, and the same again. */
async function twins(): Promise<[KopiaClient, KopiaClient]> {
  const [first, second] = [new KopiaClient(), new KopiaClient()];
  await first.create();
  await first.run("policy", "set", "--global", "--compression=zstd-fastest");
  const source = join(first.folder, "source");
  const put = (name: string, seed: number): void =>
    writeFileSync(join(source, name), splitmix64(seed, 1000 + seed));
  mkdirSync(join(source, "deep/er"), { recursive: true });
  mkdirSync(join(source, "empty"));
  for (const [index, name] of ["a.tmp", "b", "deep/c.tmp", "deep/d", "deep/er/é <f>.tmp"].entries())
    put(name, index + 1);
  await first.run("snapshot", "create", source, "--tags=env:test", "--pin=one");
  put("deep/new", 9);
  await first.run("snapshot", "create", source);
  put("deep/er/other.tmp", 10);
  mkdirSync(join(source, "x.tmp"));
  put("x.tmp/inside", 11);
  await first.run("snapshot", "create", source);
  cpSync(first.repositoryPath, second.repositoryPath, { recursive: true });
  await second.run("repository", "connect", "filesystem", "--path", second.repositoryPath);
  return [first, second];
}

const essence = (snapshots: readonly Snapshot[]) => snapshots.map(({ id: _, ...rest }) => rest);

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title("snapshots fixed"), patient, () => {
  let theirs: KopiaClient;
  let ours: KopiaClient;

  beforeAll(async () => {
    [theirs, ours] = await twins();
    return () => {
      theirs[Symbol.dispose]();
      ours[Symbol.dispose]();
    };
  });

  const fixByUs = async (
    make: (repository: Awaited<ReturnType<KopiaClient["open"]>>) => Promise<RewriteEntry>,
    invalidFiles: "remove" | "stub" = "stub",
  ): Promise<Snapshot[]> => {
    const repository = await ours.open();
    const rewrite = await make(repository);
    const snapshots = await listSnapshots(repository);
    await rewriteSnapshots(repository, snapshots, { rewrite, invalidFiles, commit: true });
    await repository.close();
    return snapshotsOf(ours);
  };

  const snapshotsOf = async (client: KopiaClient): Promise<Snapshot[]> => {
    const repository = await client.open();
    const snapshots = await listSnapshots(repository);
    await repository.close();
    return snapshots;
  };

  it("files removed by pattern: equal snapshots but for their ids", async () => {
    await theirs.run("snapshot", "fix", "remove-files", "--filename=*.tmp", "--commit");
    const fixed = await fixByUs(async () => withoutFiles({ names: ["*.tmp"] }));
    expect(fixed).toHaveLength(3);
    expect(essence(fixed)).toEqual(essence(await snapshotsOf(theirs)));
    await ours.run("snapshot", "verify", "--verify-files-percent=100");
    const target = join(ours.folder, "restored");
    await ours.run("snapshot", "restore", fixed[2]!.id, target);
    expect(readdirSync(target, { recursive: true }).sort()).toEqual(
      ["b", "deep", "deep/d", "deep/er", "deep/new", "empty"].sort(),
    );
  });

  it("files removed by object", async () => {
    const { rootEntry } = (await snapshotsOf(ours))[1]!;
    const repository = await ours.open();
    const { entries } = await readDirectory(repository, rootEntry!);
    await repository.close();
    const { objectId } = entries.find(({ name }) => name === "b")!;
    await theirs.run("snapshot", "fix", "remove-files", `--object-id=${objectId}`, "--commit");
    const fixed = await fixByUs(async () => withoutFiles({ objectIds: [objectId] }));
    expect(essence(fixed)).toEqual(essence(await snapshotsOf(theirs)));
  });

  it("files of a pack that is gone, removed; then nothing is left to fix", async () => {
    for (const client of [theirs, ours]) {
      const packs = readdirSync(client.repositoryPath, {
        recursive: true,
        encoding: "utf8",
      }).filter(
        (name) => name.startsWith("p") && statSync(join(client.repositoryPath, name)).isFile(),
      );
      expect(packs.length).toBeGreaterThan(1);
      rmSync(join(client.repositoryPath, packs.sort()[0]!));
    }
    const handling = "--invalid-file-handling=remove";
    await theirs.run("snapshot", "fix", "invalid-files", handling, "--commit");
    const fixed = await fixByUs((repository) => unreadableFiles(repository), "remove");
    expect(essence(fixed)).toEqual(essence(await snapshotsOf(theirs)));
    await ours.run("snapshot", "verify", "--verify-files-percent=100");
  });

  it("files of all packs gone, stubs in their place, which kopia reads", async () => {
    for (const name of readdirSync(ours.repositoryPath, { recursive: true, encoding: "utf8" })) {
      const path = join(ours.repositoryPath, name);
      if (name.startsWith("p") && statSync(path).isFile()) rmSync(path);
    }
    const fixed = await fixByUs((repository) => unreadableFiles(repository, { readFiles: 1 }));
    await ours.run("snapshot", "verify", "--verify-files-percent=100");
    const target = join(ours.folder, "stubs");
    await ours.run("snapshot", "restore", fixed[2]!.id, target);
    const files = readdirSync(target, { recursive: true, encoding: "utf8" });
    expect(files.some((name) => name.startsWith("deep/.INVALID."))).toBe(true);
    await ours.run("snapshot", "fix", "invalid-files", "--commit");
    expect(await snapshotsOf(ours)).toEqual(fixed);
  });
});
