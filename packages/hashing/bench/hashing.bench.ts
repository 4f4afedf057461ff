// MB/s of every algorithm and back-end, for one block at a time and for many in one call, beside `kopia benchmark hashing`
// in the same run when KOPIA names its binary.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { random, suite } from "@dm/fixtures/bench";
import { createHash, describeHashing } from "@dm/hashing";

const secret = new Uint8Array(32).fill(1);
const total = 16 << 20;
const all = random({ bytes: total, seed: 1 });

function blocksOf(bytes: number): Uint8Array[] {
  return Array.from({ length: total / bytes }, (_, index) =>
    all.subarray(index * bytes, (index + 1) * bytes),
  );
}

const sizes = [4096, 65536, 1 << 20].map((bytes) => ({
  name: `${bytes >> 10}K`,
  blocks: blocksOf(bytes),
}));
const seen = new Set<string>();

await suite("hashing", {}, (measure) => {
  for (const { algorithm, available } of describeHashing()) {
    // A truncation costs what the whole costs.
    if (seen.has(algorithm.replace(/-128$/, "")) && algorithm !== "BLAKE2S-128") continue;
    seen.add(algorithm);
    for (const backend of available) {
      const hash = createHash(algorithm, secret, { backend });
      for (const { blocks, name } of sizes) {
        // The portable back-end costs the same per byte at any size.
        if (backend === "noble" && name !== "64K") continue;
        const bytes = total;
        measure(
          `${algorithm} ${backend} ${name}`,
          () => blocks.map((block) => hash.digest(block)),
          { bytes },
        );
        measure(`${algorithm} ${backend} ${name} many`, () => hash.digestMany(blocks), { bytes });
      }
    }
  }
});

const kopia = process.env.KOPIA;
if (kopia === undefined) console.log("KOPIA is not set: no peer measured");
else {
  const directory = mkdtempSync(join(tmpdir(), "dm-hashing-bench-"));
  try {
    for (const block of ["4KB", "64KB", "1MB"]) {
      const repeat = block === "1MB" ? 200 : block === "64KB" ? 2000 : 20_000;
      const run = spawnSync(
        kopia,
        ["benchmark", "hashing", `--block-size=${block}`, `--repeat=${repeat}`, "--parallel=1"],
        {
          encoding: "utf8",
          env: {
            ...process.env,
            KOPIA_CONFIG_PATH: join(directory, "none.config"),
            KOPIA_LOG_DIR: directory,
          },
        },
      );
      console.log(`kopia, blocks of ${block}\n${run.stdout}${run.status === 0 ? "" : run.stderr}`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
