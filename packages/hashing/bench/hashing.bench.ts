// MB/s of every algorithm, for one block at a time and for many in one call, as a caller gets it and by each back-end,
// beside the best of several short runs of `kopia benchmark hashing` when KOPIA names its binary.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { random, suite } from "@dm/fixtures/bench";
import { createHash, describeHashing } from "@dm/hashing";

const secret = new Uint8Array(32).fill(1);
const total = 4 << 20;
const all = random({ bytes: total, seed: 1 });
const kopia = process.env.KOPIA;

interface Size {
  readonly name: string;
  readonly blocks: readonly Uint8Array[];
}

function size(name: string, blockBytes: number, bytes = total): Size {
  return {
    name,
    blocks: Array.from({ length: bytes / blockBytes }, (_, index) =>
      all.subarray(index * blockBytes, (index + 1) * blockBytes),
    ),
  };
}

const sizes = [size("4 KiB", 4 << 10), size("64 KiB", 64 << 10), size("1 MiB", 1 << 20)];
// Plain JavaScript costs the same per byte at any size, and much.
const slow = size("64 KiB", 64 << 10, total >> 3);

await suite("hashing", { rounds: Number(process.env.BENCH_ROUNDS ?? 9) }, (measure) => {
  const measureBoth = (label: string, { blocks, name }: Size, backend?: string): void => {
    const [algorithm = ""] = label.split(" ");
    const hash = createHash(algorithm, secret, { backend });
    const bytes = blocks.reduce((sum, block) => sum + block.length, 0);
    measure(`${label} ${name}`, () => blocks.map((block) => hash.digest(block)), { bytes });
    if (backend === "noble" || hash.manyBackend === "node") return;
    measure(`${label} ${name} many`, () => hash.digestMany(blocks), { bytes });
  };
  for (const { algorithm, available } of describeHashing()) {
    // A truncation costs what the whole costs.
    if (algorithm.endsWith("-128") && algorithm !== "BLAKE2S-128") continue;
    for (const each of sizes) measureBoth(algorithm, each);
    for (const backend of available) {
      if (backend === "noble") measureBoth(`${algorithm} noble`, slow, backend);
      else
        for (const each of sizes.slice(0, 2)) measureBoth(`${algorithm} ${backend}`, each, backend);
    }
  }
});

/** MB/s by algorithm, as one run of kopia says. */
function runKopia(
  program: string,
  directory: string,
  block: string,
  repeat: number,
): Map<string, number> {
  const { status, stderr, stdout } = spawnSync(
    program,
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
  if (status !== 0) throw new Error(`kopia failed: ${stderr}`);
  const rows = stdout.matchAll(/\d+\. (\S+)\s+([\d.]+) ([KMG]B) \/ second/g);
  const scale: Record<string, number> = { KB: 0.001, MB: 1, GB: 1000 };
  return new Map([...rows].map(([, name, rate, unit]) => [name!, Number(rate) * scale[unit!]!]));
}

if (kopia === undefined) console.log("KOPIA is not set: no peer measured");
else {
  const directory = mkdtempSync(join(tmpdir(), "dm-hashing-bench-"));
  try {
    for (const [block, repeat] of [
      ["4KB", 600],
      ["64KB", 40],
      ["1MB", 3],
    ] as const) {
      const best = new Map<string, number>();
      for (let run = 0; run < 12; run += 1) {
        for (const [name, rate] of runKopia(kopia, directory, block, repeat))
          best.set(name, Math.max(rate, best.get(name) ?? 0));
      }
      console.log(`kopia, blocks of ${block}, best of 12 runs`);
      for (const [name, rate] of [...best].sort()) console.log(`${name.padEnd(20)} ${rate} MB/s`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
