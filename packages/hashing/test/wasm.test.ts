// The WebAssembly kernels are what their sources compile to, agree with plain JavaScript wherever an input or the kernels'
// memory has a border, keep to that memory, start when they are wanted, and do without where they are refused.
import { readFileSync } from "node:fs";
import { toHex } from "@dm/core";
import { countingWebAssembly, withoutWebAssembly } from "@dm/fixtures";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createHash, describeHashing } from "../src/index.ts";
import { blake2bKernel, blake2sKernel } from "../src/wasm-blake2.ts";
import { blake3Kernel } from "../src/wasm-blake3.ts";
import { startAt } from "../src/wasm-lanes.ts";
import { keccakKernel } from "../src/wasm-sha3.ts";
import { compile, kernels, moduleText } from "../wasm/compile.ts";

const secret = Uint8Array.from({ length: 32 }, (_, index) => index * 7);
const longest = 260_000;
const memory = Uint8Array.from({ length: longest + 7 }, (_, index) => (index * 2654435761) >>> 13);

/** A view that does not begin where its memory does. */
const bytes = (length: number, seed = 0): Uint8Array =>
  memory.subarray(1 + (seed % 7), 1 + (seed % 7) + length);

const offered = describeHashing()
  .filter(({ available }) => available.includes("wasm"))
  .map(({ algorithm }) => algorithm);
// Truncations are covered by the vectors.
const algorithms = offered.filter((name) => name === "BLAKE2S-128" || !name.endsWith("-128"));

it("offers BLAKE2, BLAKE3 and HMAC-SHA3", () => {
  expect(algorithms).toEqual([
    "BLAKE2B-256",
    "BLAKE2S-128",
    "BLAKE2S-256",
    "BLAKE3-256",
    "HMAC-SHA3-224",
    "HMAC-SHA3-256",
  ]);
});

it("takes over from native code for small blocks and for many, as described", () => {
  for (const { algorithm, available, backend, manyBackend, smallBackend } of describeHashing()) {
    const wasm = available.includes("wasm");
    expect(smallBackend, algorithm).toBe(wasm ? "wasm" : backend);
    expect(manyBackend, algorithm).toBe(wasm && !algorithm.startsWith("BLAKE3") ? "wasm" : backend);
    expect(backend, algorithm).toBe(available[0]);
    const pinned = createHash(algorithm, secret, { backend: "noble" });
    expect(pinned).toMatchObject({ backend: "noble", smallBackend: "noble", manyBackend: "noble" });
  }
});

describe.each(kernels)("the kernel $name", (kernel) => {
  it("in src/ is what wasm/ compiles to", async () => {
    const kept = readFileSync(new URL(`../src/${kernel.name}.wasm.ts`, import.meta.url), "utf8");
    expect(moduleText(kernel, await compile(kernel)) === kept, "run `npm run wasm`").toBe(true);
  });
});

describe.each(algorithms)("%s by WebAssembly", (algorithm) => {
  const hash = createHash(algorithm, secret, { backend: "wasm" });
  const reference = createHash(algorithm, secret, { backend: "noble" });

  it("agrees at every length up to some blocks, alone and among many", () => {
    const inputs = Array.from({ length: 450 }, (_, length) => bytes(length, length));
    const expected = inputs.map((data) => toHex(reference.digest(data)));
    expect(inputs.map((data) => toHex(hash.digest(data)))).toEqual(expected);
    expect(hash.digestMany(inputs).map(toHex)).toEqual(expected);
  });

  it("agrees around chunks, and around the pieces in which an input passes the memory", () => {
    const borders = [...Array.from({ length: 9 }, (_, index) => index * 1024), 16_384, 32_768];
    // Three pieces and more; whole blocks of 136 and 144 bytes do not fill a piece.
    borders.push(65_416, 65_520, 65_536, 66_560, 131_072, 196_608, 258_000);
    const lengths = borders.flatMap((length) => [length - 1, length, length + 1]).slice(1);
    const expected = lengths.map((length) => toHex(reference.digest(bytes(length))));
    expect(lengths.map((length) => toHex(hash.digest(bytes(length))))).toEqual(expected);
    expect(hash.digestMany(lengths.map((length) => bytes(length))).map(toHex)).toEqual(expected);
  });

  it("agrees for any mixture of lengths", () => {
    const length = fc.oneof(fc.nat(300), fc.nat(5000), fc.nat(40_000), fc.constant(0));
    fc.assert(
      fc.property(fc.array(fc.tuple(length, fc.nat(6)), { maxLength: 11 }), (shapes) => {
        const inputs = shapes.map(([length, seed]) => bytes(length, seed));
        const expected = inputs.map((data) => toHex(reference.digest(data)));
        expect(hash.digestMany(inputs).map(toHex)).toEqual(expected);
      }),
      { numRuns: 15 },
    );
  });

  it("agrees for keys of other lengths", () => {
    for (const keyLength of [0, 1, 31, 32, 64, 136, 137, 144, 145, 300]) {
      const key = bytes(keyLength);
      if (algorithm.startsWith("BLAKE2") && keyLength > (algorithm.includes("2S") ? 32 : 64))
        continue;
      if (algorithm === "BLAKE2S-128" && keyLength === 0) continue;
      const inputs = [bytes(0), bytes(200), bytes(5000), bytes(0, 1)];
      const expected = createHash(algorithm, key, { backend: "noble" }).digestMany(inputs);
      const ours = createHash(algorithm, key, { backend: "wasm" });
      expect(ours.digestMany(inputs)).toEqual(expected);
      expect(inputs.map((data) => ours.digest(data))).toEqual(expected);
    }
  });

  it("is not disturbed by other hashes in between", () => {
    const others = offered.map((name) => createHash(name, bytes(32, 3), { backend: "wasm" }));
    const expected = reference.digest(bytes(70_000));
    for (const other of others) {
      expect(hash.digest(bytes(70_000))).toEqual(expected);
      other.digest(bytes(100));
      other.digestMany([bytes(100), bytes(7), bytes(2000)]);
    }
    expect(hash.digestMany([bytes(70_000), bytes(5)])[0]).toEqual(expected);
  });
});

describe.each([
  ["blake2b", blake2bKernel],
  ["blake2s", blake2sKernel],
  ["blake3", blake3Kernel],
  ["keccak", keccakKernel],
] as const)("the memory of %s", (_, kernel) => {
  it("is 128 KiB and stays it", () => {
    for (const algorithm of algorithms) {
      const hash = createHash(algorithm, secret, { backend: "wasm" });
      hash.digestMany([bytes(longest), bytes(longest, 1), hash.digest(bytes(longest))]);
    }
    // Bytes of a memory that has grown have no length.
    expect(kernel().bytes.length).toBe(128 << 10);
  });
});

it("counts the bytes of BLAKE2s past 32 bits, in lanes as alone", () => {
  const kernel = blake2sKernel();
  const { bytes: held } = kernel;
  const state = bytes(40).slice();
  // 64 bytes below 2^32.
  state.set([0xc0, 0xff, 0xff, 0xff, 0, 0, 0, 0], 32);
  const after = (lanes: boolean): string => {
    held.set(state, startAt);
    if (lanes) kernel.begin(2);
    else kernel.beginOne(0);
    held.set(bytes(192), 4096 + (lanes ? 2 * 16_384 : 0));
    if (lanes) kernel.absorb(3);
    else kernel.absorbOne(3);
    if (lanes) kernel.end(2);
    else kernel.endOne(0);
    return toHex(held.slice(1280, 1320));
  };
  expect(after(false)).toBe(after(true));
  expect(after(false).slice(-16)).toBe("8000000001000000");
});

describe("where WebAssembly", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  const input = bytes(3000);
  const digests = (use: typeof createHash): string[] =>
    offered.map((name) => toHex(use(name, secret).digestMany([input, input])[1]!));
  const expected = digests(createHash);

  it.each(withoutWebAssembly)("%s, everything works without", async (_, standIn) => {
    vi.resetModules();
    vi.stubGlobal("WebAssembly", standIn);
    const fresh = await import("../src/index.ts");
    for (const { available, manyBackend, smallBackend } of fresh.describeHashing())
      expect([smallBackend, manyBackend, ...available]).not.toContain("wasm");
    expect(digests(fresh.createHash)).toEqual(expected);
    expect(() => fresh.createHash("BLAKE3-256", secret, { backend: "wasm" })).toThrow(
      expect.objectContaining({ code: "DM_HASH_BACKEND_UNKNOWN" }),
    );
  });

  it("is there, nothing is compiled before it is wanted", async () => {
    const { compiled, standIn } = countingWebAssembly();
    vi.resetModules();
    vi.stubGlobal("WebAssembly", standIn);
    const fresh = await import("../src/index.ts");
    expect(compiled()).toBe(0);
    fresh.describeHashing();
    expect(compiled()).toBe(1);
    fresh.createHash("BLAKE3-256", secret, { backend: "wasm" });
    fresh.createHash("BLAKE3-256-128", secret, { backend: "wasm" });
    expect(compiled()).toBe(2);
  });
});
