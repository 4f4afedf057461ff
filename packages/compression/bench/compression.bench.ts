// MB/s of every compressor and back-end on 8 MiB that shrink to about half, beside `kopia benchmark compression` on the same
// bytes when KOPIA names its binary. Sizes are printed too: a fast compressor that saves nothing is no match.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compress, compressors, decompress, describe } from "@dm/compression";
import { compressible, suite } from "@dm/fixtures/bench";

const data = compressible({ bytes: 8 << 20, seed: 7 });

await suite("compression", {}, (measure) => {
  for (const { name, backends } of describe()) {
    if (name.startsWith("pgzip") || name.startsWith("s2-parallel")) continue; // the same code as gzip and s2-default
    // All back-ends read what the best one wrote: what the portable zstd writes needs no decoding.
    const written = compress(name, data);
    for (const backend of backends) {
      const stored = compress(name, data, { backend });
      const size = `${((100 * stored.length) / data.length).toFixed(1)} %`;
      const bytes = data.length;
      measure(`${name} ${backend} write (${size})`, () => compress(name, data, { backend }), {
        bytes,
      });
      measure(`${name} ${backend} read`, () => decompress(written, { maxBytes: bytes, backend }), {
        bytes,
      });
    }
  }
});

const kopia = process.env.KOPIA;
if (kopia === undefined) {
  console.log("KOPIA is not set: no peer measured");
} else {
  const directory = mkdtempSync(join(tmpdir(), "dm-compression-bench-"));
  try {
    const file = join(directory, "data");
    writeFileSync(file, data);
    // Named one by one: its default set includes lz4, which it then fails to write.
    const algorithms = Object.keys(compressors).join(",");
    const common = [
      "benchmark",
      "compression",
      `--data-file=${file}`,
      "--repeat=10",
      "--parallel=1",
      "--deprecated",
      `--algorithms=${algorithms}`,
    ];
    for (const operations of ["compress", "decompress"]) {
      const run = spawnSync(kopia, [...common, `--operations=${operations}`], {
        encoding: "utf8",
        env: {
          ...process.env,
          KOPIA_CONFIG_PATH: join(directory, "none.config"),
          KOPIA_LOG_DIR: directory,
        },
      });
      console.log(`kopia ${operations}\n${run.stdout}${run.status === 0 ? "" : run.stderr}`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
