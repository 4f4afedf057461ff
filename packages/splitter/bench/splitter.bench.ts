// MB/s of every splitter on random, compressible and zero data, beside `kopia benchmark splitter` in the same run when KOPIA
// names its binary. A block of random data here is what kopia's benchmark splits.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compressible, suite } from "@dm/fixtures/bench";
import { createSplitter, splitterAlgorithms } from "@dm/splitter";
import { goRandom } from "@dm/splitter/benchmark-data";

const bytes = 64 << 20;
const random = new Uint8Array(bytes);
const datasets: Array<readonly [name: string, data: Uint8Array]> = [
  ["random", random],
  ["compressible", compressible({ bytes, seed: 7 })],
  ["zero", new Uint8Array(bytes)],
];

function countSegments(
  name: string,
  data: Uint8Array,
  { backend, sliceBytes = data.length }: { backend?: string; sliceBytes?: number } = {},
): number {
  const splitter = createSplitter(name, { backend });
  let count = 0;
  for (let at = 0; at < data.length; at += sliceBytes) {
    const slice = data.subarray(at, at + sliceBytes);
    for (let from = 0; from >= 0; ) {
      from = splitter.next(slice, from);
      if (from >= 0) count += 1;
    }
  }
  return count;
}

await suite("splitter", { rounds: 3 }, (measure) => {
  measure("benchmark data (Go's generator)", () => goRandom(42).fill(random), { bytes });
  for (const { name, aliasOf, averageBytes, family } of Object.values(splitterAlgorithms)) {
    const isExtreme = averageBytes === 128 << 10 || averageBytes === 8 << 20;
    if (aliasOf || !(isExtreme || averageBytes === 4 << 20)) continue;
    for (const [dataset, data] of datasets) {
      if (dataset !== "random" && (isExtreme || family === "fixed")) continue;
      measure(`${name} ${dataset}`, () => countSegments(name, data), { bytes });
    }
    if (family !== "fixed") {
      const count = (): number => countSegments(name, random, { backend: "javascript" });
      measure(`${name} random, plain JavaScript`, count, { bytes });
    }
    if (averageBytes !== 4 << 20 || family === "fixed") continue;
    for (const sliceBytes of [256, 64 << 10]) {
      const what = sliceBytes < 1024 ? `${sliceBytes} bytes` : `${sliceBytes >> 10} KiB`;
      const count = (): number => countSegments(name, random, { sliceBytes });
      measure(`${name} random, ${what} at a time`, count, { bytes });
    }
  }
});

const kopia = process.env["KOPIA"];
if (kopia === undefined) console.log("KOPIA is not set: no peer measured");
else {
  const directory = mkdtempSync(join(tmpdir(), "dm-splitter-bench-"));
  try {
    // One large block: kopia searches for the Rabin-Karp polynomial anew for each block (0.2 s).
    const run = spawnSync(
      kopia,
      ["benchmark", "splitter", "--data-size=512MB", "--block-count=1"],
      {
        encoding: "utf8",
        env: {
          ...process.env,
          KOPIA_CONFIG_PATH: join(directory, "none.config"),
          KOPIA_LOG_DIR: directory,
        },
      },
    );
    // What follows the line is the same, sorted by speed.
    const rows = run.stdout.split("-----")[0]!;
    console.log(`kopia\n${rows}${run.status === 0 ? "" : run.stderr}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
