// The real kopia, asked to benchmark its splitters on data of a seed of our choice, counts the segments that we count.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterAll, describe, expect, it } from "vitest";
import { goRandom } from "../src/benchmark-data.ts";
import { createSplitter, splitterAlgorithms } from "../src/index.ts";
import { segmentLengths, summarize } from "./split.ts";

const peer = requirePeer("kopia");
const blockBytes = 20 << 20;
const blockCount = 1;
const seed = Number(process.env["DM_SEED"] ?? 1 + Math.floor(Math.random() * 1e6));

describe.skipIf(!peer.available)(peer.title(`kopia benchmark splitter, DM_SEED=${seed}`), () => {
  const directory = mkdtempSync(join(tmpdir(), "dm-splitter-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("prints our counts and percentiles for all 23 names", () => {
    const flags = [`--rand-seed=${seed}`, "--data-size=20MB", `--block-count=${blockCount}`];
    const run = spawnSync(peer.path, ["benchmark", "splitter", ...flags], {
      encoding: "utf8",
      env: {
        ...process.env,
        KOPIA_CONFIG_PATH: join(directory, "none.config"),
        KOPIA_LOG_DIR: directory,
      },
    });
    expect(run.status, run.stderr).toBe(0);
    const random = goRandom(seed);
    const blocks = Array.from({ length: blockCount }, () => new Uint8Array(blockBytes));
    for (const block of blocks) random.fill(block);
    const rows = run.stdout.split("-----")[0]!.trim().split("\n");
    expect(rows).toHaveLength(Object.keys(splitterAlgorithms).length);
    for (const row of rows) {
      const name = row.split(/\s/, 1)[0]!;
      const pairs = row.match(/\w+:\d+/g)!.map((pair) => pair.split(":") as [string, string]);
      const theirs = Object.fromEntries(pairs.map(([key, value]) => [key, Number(value)]));
      const lengths = blocks.flatMap((block) => segmentLengths(createSplitter(name), block));
      expect(theirs, name).toEqual(summarize(lengths));
    }
  });
});
