// `maxBytes` holds exactly, and a small input that claims or produces a lot is refused fast and within little memory.
import { deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { compress, compressors, decompress } from "../src/index.ts";
import { backendsOf, outcome, prose, supported } from "./support.ts";

const hugeBytes = 512 << 20;
const maxBytes = 1 << 20;

function uint32le(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

function stored(headerId: number, ...parts: (readonly number[] | Uint8Array)[]): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(0, 0, headerId >> 8, headerId & 0xff),
    ...parts.map((part) => Uint8Array.from(part)),
  ]);
}

/** zstd: repeated 128 KiB blocks of one byte, in a frame whose window would be 3.75 TiB. */
function zstdBomb(): Uint8Array {
  const count = hugeBytes / (128 << 10);
  const blocks = new Uint8Array(count * 4);
  for (let index = 0; index < count; index++) {
    const header = ((128 << 10) << 3) | 2 | (index === count - 1 ? 1 : 0);
    blocks.set([header & 0xff, (header >> 8) & 0xff, header >> 16, 0x41], index * 4);
  }
  return stored(0x1100, [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff], blocks);
}

/** S2: blocks of 4 MiB, each one literal byte and its repetition. */
function s2Bomb(): Uint8Array {
  const rest = (4 << 20) - 1 - 4 - 65540;
  const block = [
    0x80,
    0x80,
    0x80,
    0x02,
    0x00,
    0x41,
    0x01,
    0x01,
    0x1d,
    0x00,
    rest & 0xff,
    (rest >> 8) & 0xff,
    rest >> 16,
  ];
  const chunk = [0x00, block.length + 4, 0, 0, 0, 0, 0, 0, ...block];
  return stored(
    0x1200,
    [0xff, 6, 0, 0, ...Buffer.from("S2sTwO")],
    ...new Array<number[]>(hugeBytes >> 22).fill(chunk),
  );
}

const deflated = deflateRawSync(new Uint8Array(hugeBytes), { level: 1, chunkSize: 4 << 20 });
const bombs: Readonly<Record<string, Uint8Array>> = {
  deflate: stored(0x1500, deflated),
  gzip: stored(
    0x1000,
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
    deflated,
    [0, 0, 0, 0],
    uint32le(hugeBytes),
  ),
  "gzip whose trailer lies": stored(
    0x1000,
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
    deflated,
    uint32le(0),
    uint32le(0xffffffff),
  ),
  "zstd of repeated blocks": zstdBomb(),
  "zstd that states its size": stored(0x1100, [
    0x28,
    0xb5,
    0x2f,
    0xfd,
    0xa0,
    ...uint32le(128 << 10),
    0x03,
    0x00,
    0x10,
    0x41,
  ]),
  s2: s2Bomb(),
};

const bombCases = Object.entries(bombs).flatMap(([what, bytes]) =>
  backendsOf(what.startsWith("s2") ? "s2-default" : "zstd").map((backend) => ({
    what,
    bytes,
    backend,
  })),
);

describe.each(bombCases.filter(({ what }) => what !== "zstd that states its size"))(
  "bomb: $what with $backend",
  (bomb) => {
    it("is refused as too large, quickly, with no more memory than a few times the limit", () => {
      // maxRSS never falls, so what it gains over the call is what the call needed beyond everything before.
      const before = process.resourceUsage().maxRSS;
      const started = performance.now();
      expect(outcome(bomb.bytes, maxBytes, bomb.backend)).toBe("DM_DECOMPRESSED_TOO_LARGE");
      expect(performance.now() - started).toBeLessThan(1000);
      expect(process.resourceUsage().maxRSS - before).toBeLessThan(48 * 1024);
    });
  },
);

it.each(["node", "portable"] as const)(
  "a frame that states more than its limit is refused by its header: %s",
  (backend) => {
    const bytes = bombs["zstd that states its size"]!;
    expect(outcome(bytes, (128 << 10) - 1, backend)).toBe("DM_DECOMPRESSED_TOO_LARGE");
    expect(outcome(bytes, 128 << 10, backend)).toEqual(new Uint8Array(128 << 10).fill(0x41));
  },
);

it.each(["node", "portable"] as const)(
  "a huge window around little data is no reason to refuse: %s",
  (backend) => {
    const block = [0x00, 0x40 | 0x03, 0x00, 0x00, 0x42];
    const frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, ...block.slice(1)];
    expect(outcome(stored(0x1100, frame), maxBytes, backend)).toEqual(new Uint8Array(8).fill(0x42));
  },
);

describe.each(supported)("$name with $backend", ({ name, backend }) => {
  it.each([0, 1, 25, 70_000, 300_000])("%i bytes fit in just as many", (length) => {
    const data = prose(length);
    const bytes = compress(name, data, { backend });
    expect(decompress(bytes, { maxBytes: length, backend }).length).toBe(length);
    if (length > 0) expect(outcome(bytes, length - 1, backend)).toBe("DM_DECOMPRESSED_TOO_LARGE");
    if (length > 0) expect(outcome(bytes, 0, backend)).toBe("DM_DECOMPRESSED_TOO_LARGE");
  });
});

it("counts all members, frames and chunks together", () => {
  for (const name of ["gzip", "zstd", "s2-default"] as const) {
    for (const backend of backendsOf(name)) {
      const one = compress(name, prose(1000), { backend });
      const two = Buffer.concat([one, one.subarray(4)]);
      expect(decompress(two, { maxBytes: 2000, backend }).length).toBe(2000);
      expect(outcome(two, 1999, backend)).toBe("DM_DECOMPRESSED_TOO_LARGE");
    }
  }
});

it("names the caller's limit, also when earlier members have used some of it", () => {
  for (const backend of backendsOf("gzip")) {
    const one = compress("gzip", prose(1000), { backend });
    expect(() =>
      decompress(Buffer.concat([one, one.subarray(4)]), { maxBytes: 1500, backend }),
    ).toThrow(expect.objectContaining({ details: { maxBytes: 1500 } }));
  }
});

it("many tiny members whose end claims a lot do not each allocate it", () => {
  const member = compress("gzip", new Uint8Array(0)).subarray(4);
  const last = member.slice();
  last.set([0xff, 0xff, 0xff, 0x0f], last.length - 4);
  const bytes = Buffer.concat([stored(0x1000), ...new Array<Uint8Array>(5000).fill(member), last]);
  for (const backend of backendsOf("gzip")) {
    const started = performance.now();
    expect(outcome(bytes, 64 << 20, backend)).toBe("DM_COMPRESSED_CORRUPT");
    expect(performance.now() - started).toBeLessThan(3000);
  }
});

it("refuses a limit that is no length", () => {
  for (const bad of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => decompress(stored(compressors.zstd.headerId), { maxBytes: bad })).toThrow(
      RangeError,
    );
  }
});
