// Whatever an object store and the way to it do wrong, a backup and a restore end with the same files or with a typed error that
// says what happened; and what was acknowledged, before, meanwhile and after, verifies once the fault is over.
import { randomFillSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DmError, isDmError } from "@dm/core";
import { runMaintenance, verifyRepository } from "@dm/repo";
import {
  type AccessKey,
  faultOn,
  type S3Fault,
  type S3ServerOptions,
  seededS3Faults,
  slowDown,
  startS3Server,
} from "@dm/storage/testing/s3";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { listSnapshots, type Snapshot, verifySnapshots } from "../src/index.ts";
import { createSnapshot, restoreTree } from "../src/node/index.ts";
import { type BucketStoreOptions, bucketName, S3Bucket } from "./s3-bucket.ts";

const seed = Number(process.env["DM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const rounds = process.env["DM_FULL"] ? 20 : 1;
const folder = mkdtempSync(join(tmpdir(), "dm-s3-faults-"));
const source = { host: "h", userName: "u", path: "/tree" };
const patient: BucketStoreOptions = { retries: { attempts: 30, firstDelayMs: 1, maxDelayMs: 4 } };

beforeAll(() => console.log(`faults of the object store: DM_SEED=${seed}`));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cleanups: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A tree of its own for each test: small files, and one that is longer. */
function makeTree(): string {
  const tree = mkdtempSync(join(folder, "tree-"));
  for (let directory = 0; directory < 3; directory++) {
    mkdirSync(join(tree, `d${directory}`));
    for (let file = 0; file < 8; file++)
      writeFileSync(
        join(tree, `d${directory}`, `f${file}`),
        `${file} of ${directory}\n`.repeat(200),
      );
  }
  writeFileSync(join(tree, "large"), randomFillSync(new Uint8Array(128 << 10)));
  return tree;
}

function changeTree(tree: string): void {
  writeFileSync(join(tree, "d0", "f0"), randomFillSync(new Uint8Array(64 << 10)));
  writeFileSync(join(tree, "d2", "new"), "new");
}

const contentsOf = (tree: string): Map<string, string> =>
  new Map(
    readdirSync(tree, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(tree.length), readFileSync(path, "latin1")]),
  );

interface Story {
  readonly bucket: S3Bucket;
  readonly tree: string;
  /** Snapshots that were acknowledged, each with what it must hold. */
  readonly acknowledged: { readonly snapshot: Snapshot; readonly files: Map<string, string> }[];
}

async function begin(options: S3ServerOptions = {}): Promise<Story> {
  const bucket = await S3Bucket.start(options);
  cleanups.push(() => bucket[Symbol.asyncDispose]());
  const story: Story = { bucket, tree: makeTree(), acknowledged: [] };
  await backUp(story);
  changeTree(story.tree);
  return story;
}

/** A new client backs the tree up; what it acknowledges is noted. */
async function backUp(story: Story, store: BucketStoreOptions = {}): Promise<Snapshot> {
  const repository = await story.bucket.open(store);
  const snapshot = await createSnapshot(repository, story.tree, { source, workers: 0 });
  story.acknowledged.push({ snapshot, files: contentsOf(story.tree) });
  return snapshot;
}

/** A new client restores a snapshot; all of it must be there. */
async function restore(
  story: Story,
  { files, snapshot }: Story["acknowledged"][number],
  store: BucketStoreOptions = {},
): Promise<void> {
  const repository = await story.bucket.open(store);
  const target = mkdtempSync(join(folder, "restored-"));
  const { losses } = await restoreTree(repository, snapshot.rootEntry!, target, { workers: 0 });
  // What the repository says of itself is damage of the root, for a restore.
  if (losses[0]?.path === "") throw new DmError(losses[0].code, losses[0].reason);
  expect(losses).toEqual([]);
  expect(contentsOf(target)).toEqual(files);
}

/** Without faults: all that was acknowledged is there and proven, and the repository goes on. */
async function proveNothingLost(story: Story): Promise<void> {
  await backUp(story);
  const repository = await story.bucket.open();
  const snapshots = await listSnapshots(repository);
  const ids = snapshots.map(({ id }) => id);
  for (const { snapshot } of story.acknowledged) expect(ids).toContain(snapshot.id);
  const report = await verifySnapshots(repository, snapshots, { readFiles: "all" });
  expect(report).toMatchObject({ ok: true, findings: [] });
  expect((await verifyRepository(repository)).ok).toBe(true);
  for (const known of story.acknowledged) await restore(story, known);
}

const failureOf = async (work: Promise<unknown>): Promise<DmError> => {
  const error = await work.then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  if (!isDmError(error)) throw error;
  return error;
};

describe("passes unnoticed", () => {
  const faults: readonly [name: string, faults: readonly S3Fault[], store?: BucketStoreOptions][] =
    [
      ["connection resets", [{ reset: "before" }, { reset: "after" }]],
      ["uploads that are cut in the middle", [{ resetAfterReceivedBytes: 100 }]],
      ["a storm of 503 SlowDown", [{ answer: slowDown }]],
      [
        "500, 502, 429 and RequestTimeout",
        [
          { answer: { status: 500, code: "InternalError" } },
          { answer: { status: 502, body: "Bad Gateway" } },
          { answer: { status: 429, code: "TooManyRequests" } },
          { answer: { status: 400, code: "RequestTimeout" } },
        ],
      ],
      ["truncated bodies", [{ resetAfterSentBytes: 50 }]],
      ["a wrong Content-Length", [{ announceBytes: 60_000 }]],
      ["empty answers", [{ answer: { status: 200, body: "" } }]],
      ["slow bodies", [{ bytesPerSecond: 2000 }], { timeoutMs: 150 }],
      ["silence", [{ delayMs: 400 }], { timeoutMs: 150 }],
    ];
  it.each(faults)("%s", async (_name, some, store) => {
    for (let round = 0; round < rounds; round++) {
      const story = await begin();
      const { server } = story.bucket;
      const rule = seededS3Faults({ seed: seed + round, probability: 0.3, faults: some });
      let met = 0;
      const stop = server.inject((call) => {
        const fault = rule(call);
        if (fault) met += 1;
        return fault;
      });
      // Until faults have been met: a short story may have none by chance.
      do {
        await backUp(story, { ...patient, ...store });
        await restore(story, story.acknowledged.at(-1)!, { ...patient, ...store });
      } while (met < 3);
      stop();
      await proveNothingLost(story);
    }
  });

  it("lists that are behind, by an hour or by moments", async () => {
    const story = await begin();
    const { server } = story.bucket;
    const hour = server.inject(faultOn({ operations: ["ListObjectsV2"] }, { staleMs: 3_600_000 }));
    // It sees no earlier snapshot, and stores all anew.
    expect((await backUp(story)).stats.cachedFiles).toBe(0);
    hour();
    const moments = seededS3Faults({
      seed,
      probability: 0.6,
      operations: ["ListObjectsV2"],
      faults: [{ staleMs: 30 }, { staleMs: 1000 }],
    });
    const stop = server.inject(moments);
    for (let count = 0; count < 4; count++) {
      changeTree(story.tree);
      await backUp(story);
    }
    stop();
    await proveNothingLost(story);
  });

  it("a wrong clock, two hours ahead or behind, which only maintenance minds", async () => {
    const story = await begin();
    for (const hours of [2, -2]) {
      story.bucket.server.clockOffsetMs = hours * 3_600_000;
      await backUp(story);
      await restore(story, story.acknowledged.at(-1)!);
      const repository = await story.bucket.open();
      const maintenance = runMaintenance(repository, { force: true, mode: "full" });
      expect((await failureOf(maintenance)).code).toBe("DM_CLOCK_SKEW");
    }
    story.bucket.server.clockOffsetMs = 0;
    await proveNothingLost(story);
  });

  it("a region that nobody named", async () => {
    const story = await begin({ region: "eu-central-1" });
    await backUp(story);
    await restore(story, story.acknowledged.at(-1)!);
    await proveNothingLost(story);
  });

  it("tokens that expire in the middle of a transfer, again and again", async () => {
    const story = await begin();
    const { server } = story.bucket;
    const token = (number: number): AccessKey => ({
      accessKeyId: `TEMPORARY${number}`,
      secretAccessKey: "secret",
      sessionToken: `token-${number}`,
    });
    let newest = 0;
    server.setAccessKey(token(0));
    const credentials = {
      async credentials() {
        return token(newest);
      },
    };
    // Every fifth request is the last with its token; the provider finds the next one when it is asked again.
    const stop = server.inject(({ number }) => {
      if (number % 5 !== 0) return undefined;
      server.setAccessKey({ ...token(newest), expiresAtMs: Date.now() - 1000 });
      newest += 1;
      server.setAccessKey(token(newest));
      return undefined;
    });
    const store = { credentials, retries: { attempts: 1 } };
    await backUp(story, store);
    await restore(story, story.acknowledged.at(-1)!, store);
    expect(newest).toBeGreaterThan(3);
    stop();
    await proveNothingLost(story);
  });
});

describe("ends with an error that says what happened", () => {
  const page = "<!DOCTYPE html><html><body>Please log in</body></html>";
  const xmlError = (status: number, code: string): S3Fault => ({ answer: { status, code } });
  const faults: readonly [name: string, fault: S3Fault, code: string, hint: string][] = [
    ["a web page", { answer: { status: 200, body: page } }, "DM_STORE_ANSWER_INVALID", "web page"],
    [
      "a web page that says 403",
      { answer: { status: 403, body: page } },
      "DM_STORE_ANSWER_INVALID",
      "web page",
    ],
    ["the bucket is gone", xmlError(404, "NoSuchBucket"), "DM_STORE_NOT_FOUND", bucketName],
    ["access is denied", xmlError(403, "AccessDenied"), "DM_STORE_ACCESS_DENIED", "s3:"],
    [
      "the key is not known any more",
      xmlError(403, "InvalidAccessKeyId"),
      "DM_STORE_CREDENTIALS_INVALID",
      "access key id",
    ],
    [
      "all tokens are used up",
      xmlError(400, "ExpiredToken"),
      "DM_STORE_CREDENTIALS_EXPIRED",
      "expired",
    ],
    ["503 and no end of it", { answer: slowDown }, "DM_STORE_FAILED", "SlowDown"],
    ["no connection holds", { reset: "before" }, "DM_STORE_UNREACHABLE", ""],
  ];
  /** Requests that are answered before the fault begins, so that it meets every phase. */
  const moments = process.env["DM_FULL"] ? Array.from({ length: 16 }, (_, at) => at) : [0, 2, 6, 9];
  it.each(faults)("%s", async (_name, fault, code, hint) => {
    const story = await begin();
    const { server } = story.bucket;
    const store: BucketStoreOptions = { retries: { attempts: 2, firstDelayMs: 1 } };
    for (const skip of moments) {
      changeTree(story.tree);
      const last = story.acknowledged.at(-1)!;
      for (const work of [() => backUp(story, store), () => restore(story, last, store)]) {
        const stop = server.inject(faultOn({ skip }, fault));
        const error = await failureOf(
          work().then(() => {
            // Too short a story to meet it.
            throw new DmError("DM_DONE", "done");
          }),
        );
        stop();
        if (error.code === "DM_DONE") {
          expect(skip).toBeGreaterThan(6);
          continue;
        }
        expect(error.code).toBe(code);
        expect(error.message).toContain(hint);
      }
    }
    await proveNothingLost(story);
  });

  it("bodies that are shortened without a trace: never wrong data", async () => {
    const story = await begin();
    const faults = [{ shortenToBytes: 0 }, { shortenToBytes: 40 }, { shortenToBytes: 300 }];
    const rule = seededS3Faults({ seed, probability: 0.3, faults, operations: ["GetObject"] });
    const stop = story.bucket.server.inject(rule);
    const outcomes = new Set<string>();
    for (let count = 0; count < 12; count++) {
      const last = story.acknowledged.at(-1)!;
      for (const work of [() => backUp(story, patient), () => restore(story, last, patient)]) {
        const done = work().then(() => Promise.reject(new DmError("DM_DONE", "done")));
        outcomes.add((await failureOf(done)).code);
      }
    }
    stop();
    // A whole blob that is shorter is seen by what is in it; of a range less than was asked for is asked for again.
    expect(outcomes.size).toBeGreaterThan(1);
    expect(outcomes).toContain("DM_DONE");
    for (const code of outcomes)
      expect(code).toMatch(/^DM_(?:DONE|FORMAT_BLOB_|BLOB_CONFIG_|BLOB_|INDEX_|STORE_ANSWER_)/);
    await proveNothingLost(story);
  });

  it.each([301, 307] as const)(
    "a bucket elsewhere, %i: the error names the region",
    async (status) => {
      const other = await S3Bucket.start({ region: "eu-west-3" });
      cleanups.push(() => other[Symbol.asyncDispose]());
      const elsewhere = { [bucketName]: { region: "eu-west-3", url: other.server.url, status } };
      const server = await startS3Server({ elsewhere });
      cleanups.push(() => server.close());
      const error = await failureOf(other.open({ endpoint: server.url }));
      expect(error.code).toBe("DM_STORE_FAILED");
      expect(error.message).toContain("eu-west-3");
      // There it is.
      expect((await other.open({ region: "eu-west-3" })).readOnly).toBe(false);
    },
  );

  it("puts are refused from one on: the backup fails, what was stored is harmless", async () => {
    const story = await begin();
    for (let skip = 0; skip < 4; skip++) {
      const denied = { answer: { status: 403, code: "AccessDenied" } };
      const stop = story.bucket.server.inject(faultOn({ operations: ["PutObject"], skip }, denied));
      const error = await failureOf(
        backUp(story).then(() => Promise.reject(new DmError("DM_DONE", ""))),
      );
      expect(error).toMatchObject({ name: "AccessError", code: "DM_STORE_ACCESS_DENIED" });
      expect(error.message).toContain("s3:PutObject");
      stop();
    }
    await proveNothingLost(story);
  });
});
