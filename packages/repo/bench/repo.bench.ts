// What a repository costs beyond its primitives: packs, index blobs, a million contents in the index (time, and memory in
// a process of its own), opening, write sessions and verification; beside the real client when KOPIA names its binary.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemRandomBytes } from "@dm/core";
import { random, suite } from "@dm/fixtures/bench";
import {
  createRepository,
  type DeriveKey,
  type IndexEntry,
  openIndex,
  openRepository,
  type Repository,
  verifyRepository,
} from "@dm/repo";
import { createSplitter } from "@dm/splitter";
import { type BlobStore, memoryStore } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";
import { contentIdFromHash, contentIdKey } from "../src/content-id.ts";
import { contentIv } from "../src/crypto/crypter.ts";
import { buildIndex } from "../src/index-blob/build.ts";
import { MergedIndex } from "../src/index-blob/merged.ts";
import { PackBuilder } from "../src/pack/pack-builder.ts";
import { contentIds, entriesOf } from "./made-up-index.ts";
import { kopiaClient } from "./peer.ts";

const rounds = Number(process.env["BENCH_ROUNDS"] ?? 3);
const password = "bench";
const million = 1_000_000;
const smallCount = 10_000;
const smallBytes = 1024;
const largeBytes = 96 << 20;
const directory = mkdtempSync(join(tmpdir(), "dm-repo-bench-"));
const small = random({ bytes: smallCount * smallBytes, seed: 3 });
const large = random({ bytes: largeBytes, seed: 4 });
const smallBlocks = Array.from({ length: smallCount }, (_, index) =>
  small.subarray(index * smallBytes, (index + 1) * smallBytes),
);

/** One key for every repository: scrypt's 0.3 s is measured once, under "open". */
const sameKey: DeriveKey = async () => new Uint8Array(32).fill(9);

let made = 0;
const newStore = (kind: "memory" | "filesystem"): BlobStore => {
  if (kind === "memory") return memoryStore();
  made += 1;
  const path = join(directory, `store-${made}`);
  mkdirSync(path);
  return filesystemStore({ path });
};
const newRepository = (store: BlobStore): Promise<Repository> =>
  createRepository(store, { password, deriveKey: sameKey });

async function packs(): Promise<void> {
  const { crypter } = await newRepository(memoryStore());
  const build = (blocks: readonly Uint8Array[]): Uint8Array => {
    const builder = new PackBuilder({
      prefix: "p",
      sessionId: "s0123456789abcdef147",
      crypter,
      randomBytes: systemRandomBytes,
      indexVersion: 2,
      maxPackSizeBytes: 20 << 20,
      formatCopy: new Uint8Array(0),
    });
    for (const block of blocks) {
      builder.add(
        {
          contentId: contentIdFromHash("", crypter.hash.digest(block)),
          originalLength: block.length,
          compressionHeaderId: 0,
          formatVersion: 3,
          timestampSeconds: 1_700_000_000,
        },
        block,
      );
    }
    return builder.finish();
  };
  const big = Array.from({ length: 20 }, (_, index) =>
    large.subarray(index << 20, (index + 1) << 20),
  );
  await suite("packs: hash, encrypt, local index", { rounds }, (measure) => {
    measure("20 contents of 1 MiB", () => build(big), { bytes: 20 << 20 });
    measure("10,000 contents of 1 KiB", () => build(smallBlocks), {
      operations: smallCount,
    });
  });
}

async function indexes(): Promise<Uint8Array> {
  const ids = contentIds(million, 5);
  const entries = entriesOf(ids);
  const hundred = entries.slice(0, 100_000);
  await suite("index blobs of 100,000 entries", { rounds }, (measure) => {
    for (const version of [1, 2] as const) {
      const bytes = buildIndex(hundred, { version });
      measure(`build v${version}`, () => buildIndex(hundred, { version }), {
        operations: hundred.length,
      });
      measure(`read all v${version}`, () => [...openIndex(bytes).entries()].length, {
        operations: hundred.length,
      });
    }
  });
  const whole = buildIndex(entries, { version: 2 });
  const one = new MergedIndex([openIndex(whole)]);
  const v1 = new MergedIndex([openIndex(buildIndex(entries, { version: 1 }))]);
  const parts = 20;
  const lists = Array.from({ length: parts }, (): IndexEntry[] => []);
  for (const [index, entry] of entries.entries()) lists[index % parts]!.push(entry);
  const twenty = new MergedIndex(lists.map((list) => openIndex(buildIndex(list, { version: 2 }))));
  const asked = Array.from({ length: 100_000 }, (_, index) => ids[(index * 7919) % million]!);
  const absent = contentIds(100_000, 6);
  const keys = asked.map(contentIdKey);
  const opened = openIndex(whole);
  const count = (index: MergedIndex, list: typeof asked): number => {
    let found = 0;
    for (const id of list) if (index.find(id)) found += 1;
    return found;
  };
  const operations = asked.length;
  await suite("look-ups among 1,000,000 contents", { rounds }, (measure) => {
    measure("key to position", () => keys.map((key) => opened.find(key)).length, { operations });
    measure("id to entry, v2", () => count(one, asked), { operations });
    measure("id to entry, v1", () => count(v1, asked), { operations });
    measure("id that is not there, v2", () => count(one, absent), { operations });
    measure("id to entry, 20 index blobs", () => count(twenty, asked), { operations });
    measure("id that is not there, 20 index blobs", () => count(twenty, absent), { operations });
  });
  return whole;
}

/** A repository on disk whose one index blob names a million contents; measured in a process of its own. */
async function millionOnDisk(index: Uint8Array): Promise<void> {
  const path = join(directory, "million");
  mkdirSync(path);
  const repository = await createRepository(filesystemStore({ path }), { password });
  await repository.indexManager.write([index], { sessionId: "s0123456789abcdef147" });
  const asked = contentIds(1000, 5).join("");
  const child = spawnSync(
    process.execPath,
    ["--expose-gc", fileURLToPath(import.meta.resolve("./million.ts")), path, password, asked],
    { encoding: "utf8" },
  );
  if (child.status !== 0) throw new Error(child.stderr);
  const seen = JSON.parse(child.stdout) as Record<string, number>;
  if (seen.found !== 1000) throw new Error(`found ${seen.found} of 1000 contents`);
  const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const buffers = seen.bufferBytes!;
  const heap = seen.heapBytes!;
  console.log("## a repository with 1,000,000 contents, in a process of its own");
  console.log(`index loaded from disk (read, decrypt, check)    ${seen.loadMs!.toFixed(0)} ms`);
  console.log(`look-up through the repository                   ${seen.lookupUs!.toFixed(2)} µs`);
  console.log(`list all contents                                ${seen.listMs!.toFixed(0)} ms`);
  console.log(
    `memory of the index: ${mega(buffers)} in buffers, ${mega(heap)} heap, resident +${mega(seen.rssBytes!)}; ` +
      `${((buffers + heap) / million).toFixed(1)} bytes a content; peak of the process ${seen.peakMiB!.toFixed(0)} MiB`,
  );
  const kopia = kopiaClient(join(directory, "million-kopia"), password);
  if (kopia) {
    kopia("repository", "connect", "filesystem", `--path=${path}`);
    const cold = kopia("content", "stats");
    const warm = kopia("content", "stats");
    console.log(
      `kopia content stats: ${cold.ms.toFixed(0)} ms, again ${warm.ms.toFixed(0)} ms (a process each, key derivation included)`,
    );
  }
  console.log();
}

async function opening(): Promise<void> {
  const path = join(directory, "open");
  mkdirSync(path);
  const store = filesystemStore({ path });
  const repository = await createRepository(store, { password });
  const key = repository.openedFormat.passwordKey;
  const open = async (deriveKey?: DeriveKey): Promise<unknown> => {
    const opened = await openRepository(store, { password, deriveKey });
    await opened.refresh();
    return opened;
  };
  await suite("open a repository on disk and load its index", { rounds }, (measure) => {
    measure("with key derivation (scrypt)", () => open());
    measure("with a derived key", () => open(async () => key));
  });
  const kopia = kopiaClient(join(directory, "open-kopia"), password);
  if (!kopia) return;
  kopia("repository", "connect", "filesystem", `--path=${path}`);
  const runs = [0, 1, 2].map(() => kopia("repository", "status").ms);
  console.log(
    `kopia repository status (a process)              ${Math.min(...runs).toFixed(0)} ms\n`,
  );
}

async function sessions(): Promise<void> {
  const many = async (kind: "memory" | "filesystem"): Promise<void> => {
    const session = await (await newRepository(newStore(kind))).openWriteSession();
    for (const block of smallBlocks) await session.writeContent(block);
    await session.commit();
  };
  const again = await newRepository(memoryStore());
  const object = async (
    kind: "memory" | "filesystem",
    verifyBeforeUpload = false,
  ): Promise<void> => {
    const session = await (await newRepository(newStore(kind))).openWriteSession({
      verifyBeforeUpload,
    });
    await session.writeObject(large);
    await session.commit();
  };
  const { crypter } = again;
  /** What no session can do without: for a large object also the splitter. */
  const aloneLarge = (): number => {
    const splitter = createSplitter(again.format.splitter);
    let stored = 0;
    for (let from = 0; from < large.length; ) {
      const cut = splitter.next(large, from);
      const part = large.subarray(from, cut < 0 ? large.length : cut);
      stored += crypter.seal(part, contentIv(crypter.hash.digest(part))).length;
      from += part.length;
    }
    return stored;
  };
  const aloneSmall = (): number => {
    let stored = 0;
    for (const block of smallBlocks)
      stored += crypter.seal(block, contentIv(crypter.hash.digest(block))).length;
    return stored;
  };
  await suite("write sessions", { rounds: 2 }, (measure) => {
    measure("split, hash, encrypt 96 MiB, nothing else", aloneLarge, { bytes: largeBytes });
    measure("one object of 96 MiB, memory", () => object("memory"), { bytes: largeBytes });
    measure("one object of 96 MiB, memory, verified", () => object("memory", true), {
      bytes: largeBytes,
    });
    measure("one object of 96 MiB, filesystem", () => object("filesystem"), { bytes: largeBytes });
    measure("hash, encrypt 10,000 times 1 KiB, nothing else", aloneSmall, {
      operations: smallCount,
    });
    measure("10,000 contents of 1 KiB, memory", () => many("memory"), { operations: smallCount });
    measure("10,000 contents of 1 KiB, filesystem", () => many("filesystem"), {
      operations: smallCount,
    });
    measure(
      "10,000 contents that are there already",
      async () => {
        const session = await again.openWriteSession();
        for (const block of smallBlocks) await session.writeContent(block);
        await session.commit();
      },
      { operations: smallCount },
    );
  });
}

async function verification(): Promise<void> {
  const path = join(directory, "verify");
  mkdirSync(path);
  const repository = await createRepository(filesystemStore({ path }), { password });
  const session = await repository.openWriteSession();
  await session.writeObject(large);
  for (const block of smallBlocks) await session.writeContent(block);
  await session.commit();
  const bytes = largeBytes + smallCount * smallBytes;
  const verify = async (depth: "full" | "structure"): Promise<void> => {
    const report = await verifyRepository(repository, { depth });
    if (!report.ok) throw new Error("verification found damage");
  };
  await suite("verify 106 MB in 10,000 contents and one large object", { rounds: 2 }, (measure) => {
    measure("full", () => verify("full"), { bytes });
    measure("structure", () => verify("structure"));
  });
  const kopia = kopiaClient(join(directory, "verify-kopia"), password);
  if (!kopia) return;
  kopia("repository", "connect", "filesystem", `--path=${path}`);
  const full = kopia("content", "verify", "--full", "--parallel=1").ms;
  const structure = kopia("content", "verify").ms;
  console.log(`kopia content verify --full --parallel=1 (a process) ${full.toFixed(0)} ms`);
  console.log(`kopia content verify (a process)                     ${structure.toFixed(0)} ms`);
  const files = join(directory, "files");
  mkdirSync(files);
  writeFileSync(join(files, "large"), large);
  const target = join(directory, "kopia-own");
  const own = kopiaClient(join(directory, "own-kopia"), password)!;
  mkdirSync(target);
  own("repository", "create", "filesystem", `--path=${target}`);
  const status = own("repository", "status").ms;
  const written = own("snapshot", "create", files, "--parallel=1").ms;
  const smallFiles = join(directory, "small-files");
  mkdirSync(smallFiles);
  for (const [index, block] of smallBlocks.entries())
    writeFileSync(join(smallFiles, String(index)), block);
  const writtenSmall = own("snapshot", "create", smallFiles, "--parallel=1").ms;
  console.log(`kopia repository status (a process)                  ${status.toFixed(0)} ms`);
  console.log(`kopia snapshot create of the same 96 MiB             ${written.toFixed(0)} ms`);
  console.log(
    `kopia snapshot create of 10,000 files of 1 KiB       ${writtenSmall.toFixed(0)} ms\n`,
  );
}

try {
  await packs();
  await millionOnDisk(await indexes());
  await opening();
  await sessions();
  await verification();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
