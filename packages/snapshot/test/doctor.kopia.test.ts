// Repositories of the real kopia are damaged, repaired by the doctor, and used by kopia again: it verifies what is left to the
// last byte, restores it, writes to it and maintains it.
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, describe, expect, it } from "vitest";
import { type Diagnosis, diagnoseRepository, repairRepository } from "../src/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

/** Files of blobs whose path, without its slashes, matches. */
function blobFiles(client: KopiaClient, pattern: RegExp): string[] {
  return readdirSync(client.repositoryPath, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".f") && pattern.test(name.replaceAll("/", "")))
    .map((name) => join(client.repositoryPath, name))
    .sort();
}

const damage = (path: string): void => {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
};

async function repair(client: KopiaClient): Promise<Diagnosis> {
  const store = filesystemStore({ path: client.repositoryPath });
  const diagnosis = await diagnoseRepository(store, { password: "p" });
  await repairRepository(store, diagnosis.plan);
  forgetCache(client);
  return diagnosis;
}

/** What kopia keeps of the index would hide the damage, and the repair. */
function forgetCache(client: KopiaClient): void {
  rmSync(join(client.folder, "cache"), { recursive: true, force: true });
}

async function expectUsable(client: KopiaClient): Promise<void> {
  const tree = join(client.folder, "tree");
  await client.run("snapshot", "verify", "--verify-files-percent=100");
  await client.run("content", "verify", "--full");
  const snapshots = JSON.parse(await client.run("snapshot", "list", "--all", "--json"));
  expect(snapshots).toHaveLength(names.length);
  const target = join(client.folder, "restored");
  await client.run("snapshot", "restore", snapshots.at(-1).id, target);
  for (const name of names)
    expect(readFileSync(join(target, name))).toEqual(readFileSync(join(tree, name)));
  writeFileSync(join(tree, "later"), "written after the repair");
  await client.run("snapshot", "create", tree);
  await client.run("maintenance", "run", "--full", "--safety=none");
  await client.run("snapshot", "verify");
}

const names = ["a", "inner/b"];
const indexName = /^(xn|n[0-9a-f]{2})/;

describe.skipIf(!kopiaPeer.path)(
  kopiaPeer.title("a repository of kopia"),
  { timeout: 120_000 },
  () => {
    const made = new Map<string, KopiaClient>();

    /** A repository with a snapshot for each file, each of them in packs of its own. */
    async function repositoryOf(version: string): Promise<KopiaClient> {
      const client = new KopiaClient();
      const known = made.get(version);
      if (known) {
        cpSync(known.folder, client.folder, { recursive: true, preserveTimestamps: true });
        rmSync(join(client.folder, "cache"), { recursive: true, force: true });
        rmSync(join(client.folder, "kopia.config"));
        await client.run("repository", "connect", "filesystem", "--path", client.repositoryPath);
        return client;
      }
      await client.create(`--format-version=${version}`);
      const tree = join(client.folder, "tree");
      mkdirSync(join(tree, "inner"), { recursive: true });
      for (const name of names) {
        writeFileSync(join(tree, name), `${name} `.repeat(20_000));
        await client.run("snapshot", "create", tree);
      }
      expect(await repair(client)).toMatchObject({ findings: [], ok: true, opens: true, plan: [] });
      made.set(version, client);
      return repositoryOf(version);
    }

    afterAll(() => {
      for (const client of made.values()) client[Symbol.dispose]();
    });

    it.each(["1", "3"])("of format %s without any index blob is repaired", async (version) => {
      using client = await repositoryOf(version);
      const blobs = blobFiles(client, indexName);
      expect(blobs.length).toBeGreaterThan(2);
      for (const path of blobs) rmSync(path);
      expect((await repair(client)).findings.map(({ severity }) => severity)).toEqual([
        "repairable",
      ]);
      await expectUsable(client);
    });

    it.each(["1", "3"])("of format %s with damaged index blobs is repaired", async (version) => {
      using client = await repositoryOf(version);
      for (const path of blobFiles(client, indexName).slice(1)) damage(path);
      forgetCache(client);
      await expect(client.run("snapshot", "list", "--all")).rejects.toThrow();
      expect((await repair(client)).findings.length).toBeGreaterThan(1);
      await expectUsable(client);
    });

    it("with a format blob that was cut short gets it back from a pack", async () => {
      using client = await repositoryOf("1");
      truncateSync(join(client.repositoryPath, "kopia.repository.f"), 200);
      const { findings } = await repair(client);
      expect(findings).toEqual([
        expect.objectContaining({ part: "format", severity: "repairable" }),
      ]);
      await expectUsable(client);
    });

    it("with a damaged schedule and a damaged configuration of retention works again", async () => {
      using client = await repositoryOf("3");
      for (const path of blobFiles(client, /^kopia\.(maintenance|blobcfg)/)) damage(path);
      const { findings } = await repair(client);
      expect(findings.map(({ blobId }) => blobId)).toContain("kopia.blobcfg");
      await expectUsable(client);
    });

    it("that has lost a pack misses what the doctor lists, for kopia too", async () => {
      using client = await repositoryOf("3");
      const lost: Diagnosis[] = [];
      for (const pack of blobFiles(client, /^p/)) {
        const bytes = readFileSync(pack);
        rmSync(pack);
        const diagnosis = await repair(client);
        lost.push(diagnosis);
        const verification = await client
          .run("snapshot", "verify", "--verify-files-percent=100")
          .then(() => "", String);
        const paths = new Set(diagnosis.findings.flatMap(({ path }) => path ?? []));
        expect(paths.size).toBe(1);
        for (const name of names) expect(verification.includes(`/${name}`)).toBe(paths.has(name));
        writeFileSync(pack, bytes);
      }
      expect(lost).toHaveLength(names.length);
      await expectUsable(client);
    });

    it("that has lost a pack stores again what was in it, once its snapshots are fixed", async () => {
      using client = await repositoryOf("3");
      const [pack] = blobFiles(client, /^p/);
      rmSync(pack!);
      expect((await repair(client)).plan).toEqual([]);
      await client.run("snapshot", "fix", "invalid-files", "--commit");
      expect((await repair(client)).plan.map((step) => step.do)).toEqual(["forgetContents"]);
      await client.run("snapshot", "create", join(client.folder, "tree"));
      await client.run("snapshot", "verify", "--verify-files-percent=100");
      const snapshots = JSON.parse(await client.run("snapshot", "list", "--all", "--json"));
      // The list goes by source first, and the copied tree is another one.
      const times = snapshots.map(({ startTime }: { startTime: string }) => Date.parse(startTime));
      const last = snapshots[times.indexOf(Math.max(...times))];
      const target = join(client.folder, "restored");
      await client.run("snapshot", "restore", last.id, target);
      for (const name of names)
        expect(readFileSync(join(target, name))).toEqual(
          readFileSync(join(client.folder, "tree", name)),
        );
      await client.run("maintenance", "run", "--full", "--safety=none");
      expect(await repair(client)).toMatchObject({ ok: true, plan: [] });
    });
  },
);
