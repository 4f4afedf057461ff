// Snapshots of a repository that the real kopia has made, copied into another one that it has made: kopia verifies and restores
// the copies; into two equal repositories, kopia's own migration and ours put the same objects.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { splitmix64 } from "@dm/fixtures";
import { expect, it } from "vitest";
import { listPolicies, listSnapshots, migrateSnapshots, walkTree } from "../src/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

const run = promisify(execFile);

/** Not by the client's own `run`: with a cache directory in its environment kopia takes one format for both repositories. */
const migrateByKopia = (to: KopiaClient, from: KopiaClient) =>
  run(
    kopiaPeer.path,
    [
      ...["--no-use-keyring", "--no-progress", "--disable-file-logging"],
      ...["--config-file", join(to.folder, "kopia.config"), "snapshot", "migrate", "--all"],
      ...["--source-config", join(from.folder, "kopia.config"), "--overwrite-policies"],
    ],
    { env: { HOME: to.folder, KOPIA_PASSWORD: "p", KOPIA_CHECK_FOR_UPDATES: "false" } },
  );

const patient = { timeout: 120_000 };

it.skipIf(!kopiaPeer.available)(
  kopiaPeer.title("snapshots of kopia, copied"),
  patient,
  async () => {
    using old = new KopiaClient();
    using ours = new KopiaClient();
    using theirs = new KopiaClient();
    await old.create(
      "--object-splitter=DYNAMIC-1M-BUZHASH",
      "--encryption=CHACHA20-POLY1305-HMAC-SHA256",
    );
    const source = join(old.folder, "source");
    mkdirSync(join(source, "a/b"), { recursive: true });
    writeFileSync(join(source, "large"), splitmix64(1, 9_000_000));
    writeFileSync(join(source, "a/b/é <small>"), splitmix64(2, 3000));
    writeFileSync(join(source, "a/text.log"), "all work and no play ".repeat(9000));
    symlinkSync("b/nowhere", join(source, "a/link"));
    await old.run("policy", "set", source, "--compression=zstd", "--add-ignore=*.nothing");
    await old.run("policy", "set", "--global", "--keep-latest=7");
    await old.run("snapshot", "create", source, "--description=one", "--tags=env:test");
    writeFileSync(join(source, "a/b/new"), splitmix64(3, 5000));
    await old.run("snapshot", "create", source);
    await old.run("snapshot", "create", join(source, "large"));

    await ours.create();
    cpSync(ours.repositoryPath, theirs.repositoryPath, { recursive: true });
    await theirs.run("repository", "connect", "filesystem", "--path", theirs.repositoryPath);
    await migrateByKopia(theirs, old);

    const [from, to] = [await old.open(), await ours.open()];
    const report = await migrateSnapshots(from, to, { overwritePolicies: true });
    expect(report).toMatchObject({ snapshotsMigrated: 3, entriesFailed: 0, policiesFailed: 0 });
    await to.refresh();
    const copies = await listSnapshots(to);
    const byKopia = await theirs.open();
    // Kopia gives directories the size and the newest time of what is in them, as it shows them; we leave them as they were.
    const essence = async (repository: typeof to) => {
      const all: unknown[] = [];
      for (const { description, endedAtNs, rootEntry, source, startedAtNs } of await listSnapshots(
        repository,
      )) {
        all.push({ description, endedAtNs, source, startedAtNs });
        for await (const { entry, path } of walkTree(repository, rootEntry!)) {
          const directory = { objectId: "", modifiedAtNs: 0n, sizeBytes: 0 };
          all.push({ path, ...entry, ...(entry.type === "d" && directory) });
        }
      }
      return all;
    };
    expect(await essence(to)).toEqual(await essence(byKopia));
    const policiesOf = async (repository: typeof to) =>
      (await listPolicies(repository)).map(({ policy, target }) => ({ policy, target }));
    expect(await policiesOf(to)).toEqual(expect.arrayContaining(await policiesOf(byKopia)));
    await Promise.all([from, to, byKopia].map((repository) => repository.close()));

    await ours.run("snapshot", "verify", "--verify-files-percent=100");
    const target = join(ours.folder, "restored");
    const latest = copies.filter(({ source: { path } }) => path === source).at(-1)!;
    await ours.run("snapshot", "restore", latest.id, target);
    // Kopia finds all of them there already, ours as its own.
    const before = copies.map(({ id }) => id).sort();
    await migrateByKopia(ours, old);
    const again = await ours.open();
    expect((await listSnapshots(again)).map(({ id }) => id).sort()).toEqual(before);
    await again.close();
    // What was restored is what was backed up.
    await run("diff", ["-r", "--no-dereference", source, target]);
  },
);
