// The same work costs no more requests here than with kopia, each with empty caches on the same test S3 server.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findEntry, listSnapshots } from "../src/index.ts";
import { createSnapshot, restoreTree } from "../src/node/index.ts";
import { kopiaPeer } from "./kopia-client.ts";
import { bucketName, type Cost, S3Bucket } from "./s3-bucket.ts";

const run = promisify(execFile);

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title("requests beside kopia's"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-cost-kopia-"));
  const tree = join(folder, "tree");
  let ours: S3Bucket;
  let theirs: S3Bucket;
  let homes = 0;

  beforeAll(async () => {
    mkdirSync(tree);
    for (let directory = 0; directory < 10; directory++) {
      mkdirSync(join(tree, `d${directory}`));
      for (let file = 0; file < 100; file++)
        writeFileSync(
          join(tree, `d${directory}`, `f${file}`),
          `${file} of ${directory}\n`.repeat(99),
        );
    }
    ours = await S3Bucket.start();
    theirs = await S3Bucket.start();
  });
  afterAll(async () => {
    await ours[Symbol.asyncDispose]();
    await theirs[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A client that has seen nothing yet: its own configuration, and empty caches. */
  class Kopia {
    readonly #home = join(folder, `home${homes++}`);

    async run(...parameters: string[]): Promise<string> {
      mkdirSync(this.#home, { recursive: true });
      const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
      const config = `--config-file=${join(this.#home, "kopia.config")}`;
      const { stdout } = await run(kopiaPeer.path, [...flags, config, ...parameters], {
        env: {
          HOME: this.#home,
          KOPIA_PASSWORD: "p",
          KOPIA_CHECK_FOR_UPDATES: "false",
          KOPIA_CACHE_DIRECTORY: join(this.#home, "cache"),
          PATH: process.env["PATH"],
        },
      });
      return stdout;
    }

    async repository(verb: "create" | "connect"): Promise<void> {
      const { accessKeyId, secretAccessKey } = theirs.server.accessKey;
      await this.run(
        "repository",
        verb,
        "s3",
        `--bucket=${bucketName}`,
        "--prefix=kopia/",
        `--endpoint=${theirs.server.endpoint}`,
        "--disable-tls",
        `--access-key=${accessKeyId}`,
        `--secret-access-key=${secretAccessKey}`,
      );
    }
  }

  const counted = async (bucket: S3Bucket, work: () => Promise<unknown>): Promise<Cost> => {
    bucket.server.resetCounts();
    await work();
    const { counts } = bucket.server;
    return {
      list: counts.ListObjectsV2,
      get: counts.GetObject,
      put: counts.PutObject,
      head: counts.HeadObject,
      delete: counts.DeleteObject,
      roundTrips: 0,
    };
  };
  const total = ({ delete: deleted, get, head, list, put }: Cost): number =>
    deleted + get + head + list + put;
  const rows: string[] = [];
  const compare = (what: string, our: Cost, their: Cost): void => {
    const text = ({ delete: deleted, get, head, list, put }: Cost): string =>
      `${list} list, ${get} get, ${put} put, ${head} head, ${deleted} delete`;
    rows.push(
      `${what}: ${text(our)}; kopia ${text(their)}; ${(total(our) / total(their)).toFixed(2)}`,
    );
    console.log(rows.at(-1));
    expect(total(our)).toBeLessThanOrEqual(total(their));
    expect(our.list).toBeLessThanOrEqual(their.list);
  };

  it("backup, backup of the same again, and restore of one file", async () => {
    await new Kopia().repository("create");
    const first = new Kopia();
    await first.repository("connect");
    let their = await counted(theirs, () => first.run("snapshot", "create", tree));
    const client = await ours.open();
    let our = await counted(ours, () => createSnapshot(client, tree));
    compare("first backup of 1,000 files", our, their);

    const second = new Kopia();
    await second.repository("connect");
    their = await counted(theirs, () => second.run("snapshot", "create", tree));
    const other = await ours.open();
    our = await counted(ours, () => createSnapshot(other, tree));
    compare("nothing changed", our, their);

    const third = new Kopia();
    await third.repository("connect");
    const listed = JSON.parse(await second.run("snapshot", "list", "--json", tree));
    const target = join(folder, "theirs");
    const place = `${listed[0].id}/d5/f7`;
    their = await counted(theirs, () => third.run("snapshot", "restore", place, target));
    const repository = await ours.open();
    our = await counted(ours, async () => {
      const [snapshot] = await listSnapshots(repository);
      const entry = await findEntry(repository, snapshot!.rootEntry!, "d5/f7");
      await restoreTree(repository, entry, join(folder, "ours"));
    });
    expect(readFileSync(join(folder, "ours"), "utf8")).toBe(readFileSync(target, "utf8"));
    compare("restore of one file", our, their);
  });
});
