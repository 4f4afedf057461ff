/**
 * Both programs, as whole processes, on one S3 server of this machine: backups and restores of a long file that does not compress
 * and of 5,000 small ones, a backup when nothing has changed, a copy of many small blobs there and back, and what it takes to
 * connect and to open. Each has prefixes of its own, and begins to read with nothing of the repository kept on this machine.
 * Wall and CPU seconds and peak memory of the program alone, minimum of interleaved rounds.
 *
 * KOPIA=/path/to/kopia node bench/s3.bench.ts [rounds]; build the packages and examples/cli before, or set SOURCE=1 to run the
 * sources as they stand. The server is SeaweedFS (`weed` on PATH), else, or with SERVER=test, the one of `@dm/storage/testing/s3`,
 * which also counts requests: the last column, kopia's and dm's. LONG_MIB is the length of the long file, 256 by default;
 * ROWS=long,small,blobs,open chooses.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requirePeer, startSeaweed } from "@dm/fixtures";
import { random } from "@dm/fixtures/bench";
import { startS3Server } from "@dm/storage/testing/s3";
import { Comparison, makeSources, openBench, type Program } from "./beside-kopia.ts";

const { folder, programs, rounds, run } = openBench("s3");
const mib = Number(process.env["LONG_MIB"] ?? 256);
const files = 5000;
const blobCount = 2000;
const parallel = 16;
const chosen = (process.env["ROWS"] ?? "long,small,blobs,open").split(",");
const bucket = "bench";

interface Server {
  readonly title: string;
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** So far. */
  readonly requests?: () => number;
  close(): Promise<void>;
}

async function startServer(): Promise<Server> {
  const weed = requirePeer("s3");
  if (weed.available && process.env["SERVER"] !== "test") {
    const server = await startSeaweed(weed.path, { buckets: [bucket], maxVolumes: 200 });
    return { title: "SeaweedFS", ...server };
  }
  const directory = join(folder, "server");
  const server = await startS3Server({ buckets: [bucket], directory });
  return {
    title: "the test server",
    endpoint: server.endpoint,
    ...server.accessKey,
    requests: () => Object.values(server.counts).reduce((sum, count) => sum + count, 0),
    close: () => server.close(),
  };
}

const server = await startServer();
const at = (prefix: string): string[] => [
  "s3",
  `--bucket=${bucket}`,
  `--endpoint=${server.endpoint}`,
  `--access-key=${server.accessKeyId}`,
  `--secret-access-key=${server.secretAccessKey}`,
  "--disable-tls",
  `--prefix=${prefix}/`,
];

const rows = {
  uploadLong: `back up one file of ${mib} MiB, incompressible`,
  downloadLong: "restore it",
  uploadSmall: `back up ${files.toLocaleString("en")} files of 4 to 64 KiB`,
  unchanged: "the same, nothing has changed",
  downloadSmall: "restore them",
  uploadBlobs: `copy ${blobCount.toLocaleString("en")} blobs of 16 KiB there, ${parallel} at once`,
  downloadBlobs: "copy them back",
  connect: "connect",
  status: "open: `repository status`",
};
const comparison = new Comparison();

async function measure(row: string, name: string, work: () => ReturnType<Program>): Promise<void> {
  // What another run has left to be written is not this one's.
  await run("sync");
  const before = server.requests?.();
  const done = await work();
  const requests = before === undefined ? {} : { requests: server.requests!() - before };
  comparison.add(row, name, { ...done, ...requests });
}

/** A program with nothing kept of what it has connected to before: also its caches belong to its configuration. */
const freshPrograms = (() => {
  let count = 0;
  return (): ReturnType<typeof programs> => programs(count++);
})();

type Name = "kopia" | "dm";
type Step = (name: Name, round: number) => Promise<void>;

/** Whoever comes second finds files and server warm, so they take turns. */
async function inTurns(round: number, step: Step): Promise<void> {
  const names: Name[] = round % 2 === 1 ? ["dm", "kopia"] : ["kopia", "dm"];
  for (const name of names) await step(name, round);
}

const snapshotCreate = (source: string): string[] => [
  "snapshot",
  "create",
  "--no-auto-maintenance",
  "--json",
  join(folder, source),
];

function backUpAndRestore(source: string, up: string, down: string, again?: string): Step {
  return async (name, round) => {
    const program = freshPrograms()[name];
    const prefix = `${name}/${source}/${round}`;
    await program("repository", "create", ...at(prefix));
    let root = "";
    await measure(up, name, async () => {
      const done = await program(...snapshotCreate(source));
      root = JSON.parse(done.out).rootEntry.obj;
      return done;
    });
    if (again) await measure(again, name, () => program(...snapshotCreate(source)));
    const reader = freshPrograms()[name];
    await reader("repository", "connect", ...at(prefix));
    // Everything stays until the end: some file systems look for room among what was just deleted.
    const target = join(folder, `${name}-${source}-${round}`);
    await measure(down, name, () => reader("restore", root, target));
  };
}

/** A repository in a directory whose packs nobody looks into. */
async function makeBlobs(): Promise<string> {
  const path = join(folder, "blobs");
  mkdirSync(path);
  await freshPrograms().kopia("repository", "create", "filesystem", "--path", path);
  const data = random({ bytes: blobCount + (16 << 10), seed: 3 });
  for (let index = 0; index < blobCount; index++) {
    const digits = Math.imul(index + 1, 2_654_435_761) >>> 0;
    const id = `p${digits.toString(16).padStart(8, "0").repeat(4)}-s0123456789abcdef123`;
    const shard = join(path, id.slice(0, 1), id.slice(1, 4));
    mkdirSync(shard, { recursive: true });
    writeFileSync(join(shard, `${id.slice(4)}.f`), data.subarray(index, index + (16 << 10)));
  }
  return path;
}

function copyBlobs(path: string): Step {
  return async (name, round) => {
    const prefix = `${name}/blobs/${round}`;
    const syncTo = ["repository", "sync-to"];
    const here = freshPrograms()[name];
    await here("repository", "connect", "filesystem", "--path", path);
    const to = [...at(prefix), `--parallel=${parallel}`];
    await measure(rows.uploadBlobs, name, () => here(...syncTo, ...to));
    const there = freshPrograms()[name];
    await there("repository", "connect", ...at(prefix));
    const target = join(folder, `${name}-blobs-${round}`);
    mkdirSync(target);
    const back = ["filesystem", `--path=${target}`, `--parallel=${parallel}`];
    await measure(rows.downloadBlobs, name, () => there(...syncTo, ...back));
  };
}

const open: Step = async (name) => {
  const program = freshPrograms()[name];
  // One repository for both.
  await measure(rows.connect, name, () => program("repository", "connect", ...at("open")));
  await measure(rows.status, name, () => program("repository", "status"));
};

try {
  makeSources(folder, { mib, files });
  const blobs = await makeBlobs();
  await freshPrograms().kopia("repository", "create", ...at("open"));
  const steps: Record<string, Step> = {
    long: backUpAndRestore("long", rows.uploadLong, rows.downloadLong),
    small: backUpAndRestore("small", rows.uploadSmall, rows.downloadSmall, rows.unchanged),
    blobs: copyBlobs(blobs),
    open,
  };
  for (let round = 0; round < rounds; round++) {
    for (const name of chosen) await inTurns(round, steps[name]!);
  }
  const done = Object.values(rows).filter((row) => comparison.has(row));
  comparison.print(`S3, ${server.title}`, rounds, done);
  console.log("");
  comparison.printMarkdown(done);
} finally {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
