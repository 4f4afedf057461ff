// MB/s of both ciphers and every back-end by block size, writing (also many in one call, into one pack) and reading; then the
// key derivations; beside `kopia benchmark encryption` in the same run when KOPIA names its binary.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createEncryption,
  derivePasswordKey,
  describeEncryption,
  keyDerivationAlgorithms,
} from "@dm/encryption";
import { random, suite } from "@dm/fixtures/bench";

const masterKey = new Uint8Array(32);
const iv = new Uint8Array(16).fill(3);
const total = 4 << 20;
// Many short rounds: on a busy machine some of them run undisturbed.
const rounds = 25;
const data = random({ bytes: total, seed: 1 });

await suite("encryption", { rounds }, (measure) => {
  for (const { algorithm, available } of describeEncryption()) {
    for (const backend of available) {
      for (const [name, blockBytes] of [
        ["1K", 1 << 10],
        ["64K", 64 << 10],
        ["1M", 1 << 20],
      ] as const) {
        // The portable back-end costs the same per byte at any size.
        if (backend === "noble" && name !== "64K") continue;
        const bytes = backend === "noble" || name === "1K" ? 1 << 20 : total;
        const encryption = createEncryption(algorithm, masterKey, { backend });
        const storedBytes = blockBytes + encryption.overheadBytes;
        const pack = new Uint8Array((bytes / blockBytes) * storedBytes);
        const items = Array.from({ length: bytes / blockBytes }, (_, index) => ({
          plaintext: data.subarray(index * blockBytes, (index + 1) * blockBytes),
          iv,
          output: pack.subarray(index * storedBytes, (index + 1) * storedBytes),
        }));
        const one = `${algorithm.replace("-HMAC-SHA256", "")} ${backend} ${name}`;
        measure(
          `${one} encrypt`,
          () => items.map((it) => encryption.encrypt(it.plaintext, iv)[0]),
          {
            bytes,
          },
        );
        measure(`${one} encryptMany into a pack`, () => encryption.encryptMany(items).length, {
          bytes,
        });
        const stored = items.map(({ plaintext }) => encryption.encrypt(plaintext, iv));
        measure(`${one} decrypt`, () => stored.map((it) => encryption.decrypt(it, iv)[0]), {
          bytes,
        });
      }
    }
  }
});

await suite("key derivation", { rounds: 3 }, (measure) => {
  const salt = new Uint8Array(32);
  for (const algorithm of Object.keys(keyDerivationAlgorithms)) {
    for (const backend of describeEncryption()[0]?.available ?? []) {
      measure(`${algorithm} ${backend}`, () =>
        derivePasswordKey("secret", { algorithm, salt, backend }),
      );
    }
  }
});

const kopia = process.env["KOPIA"];
if (kopia === undefined) console.log("KOPIA is not set: no peer measured");
else {
  const directory = mkdtempSync(join(tmpdir(), "dm-encryption-bench-"));
  try {
    for (const [block, repeat] of [
      ["1KB", 5_000],
      ["64KB", 200],
      ["1MB", 20],
    ] as const) {
      const best = new Map<string, number>();
      for (let round = 0; round < rounds; round++) {
        const { stdout, stderr, status } = spawnSync(
          kopia,
          ["benchmark", "encryption", `--block-size=${block}`, `--repeat=${repeat}`],
          {
            encoding: "utf8",
            env: {
              ...process.env,
              KOPIA_CONFIG_PATH: join(directory, "none.config"),
              KOPIA_LOG_DIR: directory,
            },
          },
        );
        if (status !== 0) throw new Error(stderr);
        for (const [, name, value, unit] of stdout.matchAll(
          /(\S+-HMAC-SHA256) +([\d.]+) ([MG])B/g,
        )) {
          const rate = Number(value) * (unit === "G" ? 1000 : 1);
          best.set(name!, Math.max(rate, best.get(name!) ?? 0));
        }
      }
      console.log(`kopia, blocks of ${block}, MB/s, best of ${rounds}:`, Object.fromEntries(best));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
