// Each form of tag and chunk that an S2 stream may have is read, each impossible one refused; what the encoder writes uses
// them well enough to compress, and "better" is better.
import { splitmix64 } from "@dm/fixtures";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c } from "../src/crc32.ts";
import { compress, decompress } from "../src/index.ts";
import { outcome, prose } from "./support.ts";

const identifier = [0xff, 6, 0, 0, ...Buffer.from("S2sTwO")];
const snappyIdentifier = [0xff, 6, 0, 0, ...Buffer.from("sNaPpY")];

function checksum(data: Uint8Array): number[] {
  const crc = crc32c(data);
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  return [masked & 0xff, (masked >>> 8) & 0xff, (masked >>> 16) & 0xff, masked >>> 24];
}

function chunk(type: number, body: readonly number[]): number[] {
  return [type, body.length & 0xff, (body.length >> 8) & 0xff, body.length >> 16, ...body];
}

function uvarint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...uvarint(value >>> 7)];
}

/** A stream of one block with these tags, which should decode to `text`. */
function stream(text: string, tags: readonly number[], start = identifier): Uint8Array {
  const data = Buffer.from(text, "latin1");
  const body = [...checksum(data), ...uvarint(data.length), ...tags];
  return Uint8Array.from([0, 0, 0x12, 0, ...start, ...chunk(0, body)]);
}

function read(stored: Uint8Array): string {
  const result = outcome(stored, 8 << 20, "portable");
  return typeof result === "string" ? result : Buffer.from(result).toString("latin1");
}

const abcd = [0x0c, 0x61, 0x62, 0x63, 0x64];
const accepted: readonly { what: string; text: string; tags: number[] }[] = [
  { what: "nothing", text: "", tags: [] },
  { what: "a literal", text: "abcd", tags: abcd },
  { what: "a literal with one byte of length", text: "abcd", tags: [0xf0, 3, ...abcd.slice(1)] },
  { what: "a literal with two", text: "abcd", tags: [0xf4, 3, 0, ...abcd.slice(1)] },
  { what: "a literal with three", text: "abcd", tags: [0xf8, 3, 0, 0, ...abcd.slice(1)] },
  { what: "a literal with four", text: "abcd", tags: [0xfc, 3, 0, 0, 0, ...abcd.slice(1)] },
  {
    what: "a near copy that overlaps itself",
    text: `abcd${"abcd".repeat(2)}abc`,
    tags: [...abcd, 0x1d, 4],
  },
  { what: "a copy of one byte at two bytes of offset", text: "abcda", tags: [...abcd, 0x02, 4, 0] },
  {
    what: "a copy with four bytes of offset",
    text: `abcd${"d".repeat(64)}`,
    tags: [...abcd, 0xff, 1, 0, 0, 0],
  },
  {
    what: "repeats of 4 to 8",
    text: `abcda${"bcda"}${"bcdabcda"}`,
    tags: [...abcd, 0x02, 4, 0, 0x01, 0, 0x11, 0],
  },
  {
    what: "a repeat with one byte of length",
    text: `abcda${"bcda".repeat(5)}`,
    tags: [...abcd, 0x02, 4, 0, 0x15, 0, 12],
  },
  {
    what: "a repeat with two",
    text: `abcda${"bcda".repeat(65)}`,
    tags: [...abcd, 0x02, 4, 0, 0x19, 0, 0, 0],
  },
  {
    what: "a repeat with three",
    text: `abcda${"bcda".repeat(16385)}`,
    tags: [...abcd, 0x02, 4, 0, 0x1d, 0, 0, 0, 0],
  },
  {
    what: "a repeat after a literal",
    text: "abcdaxdaxd",
    tags: [...abcd, 0x02, 4, 0, 0x00, 0x78, 0x02, 3, 0, 0x04, 0x61, 0x78, 0x02, 3, 0],
  },
];
const refused: readonly { what: string; text: string; tags: number[] }[] = [
  { what: "a repeat before any copy", text: "abcdabcd", tags: [...abcd, 0x01, 0] },
  { what: "a copy of offset 0", text: "abcda", tags: [...abcd, 0x02, 0, 0] },
  { what: "a copy from before the block", text: "abcda", tags: [...abcd, 0x02, 5, 0] },
  { what: "a copy from 4 GiB before", text: "abcda", tags: [...abcd, 0x03, 4, 0, 0, 0xff] },
  { what: "a literal longer than the chunk", text: "abcde", tags: [0x10, ...abcd.slice(1)] },
  { what: "a literal longer than the block", text: "abc", tags: abcd },
  {
    what: "a literal of 4 GiB",
    text: "abcd",
    tags: [0xfc, 0xff, 0xff, 0xff, 0xff, ...abcd.slice(1)],
  },
  { what: "a copy longer than the block", text: "abcda", tags: [...abcd, 0x06, 4, 0] },
  { what: "fewer bytes than stated", text: "abcde", tags: abcd },
  { what: "a cut tag", text: "abcda", tags: [...abcd, 0x02, 4] },
  { what: "a cut repeat", text: "abcda", tags: [...abcd, 0x02, 4, 0, 0x1d, 0, 1] },
];

describe("tags", () => {
  it.each(accepted)("reads $what", ({ text, tags }) => expect(read(stream(text, tags))).toBe(text));
  it.each(refused)("refuses $what", ({ text, tags }) => {
    expect(read(stream(text, tags))).toBe("DM_COMPRESSED_CORRUPT");
  });
});

describe("chunks", () => {
  const raw = (text: string) => chunk(1, [...checksum(Buffer.from(text)), ...Buffer.from(text)]);
  const stored = (...parts: readonly (readonly number[])[]) =>
    Uint8Array.from([0, 0, 0x12, 0, ...parts.flat()]);

  it("raw ones, skipped ones and repeated identifiers", () => {
    const skipped = [
      chunk(0x80, [1, 2, 3]),
      chunk(0xfe, new Array<number>(300).fill(7)),
      chunk(0x99, []),
    ];
    expect(
      read(
        stored(identifier, raw("ab"), ...skipped, identifier, raw("cd"), snappyIdentifier, raw("")),
      ),
    ).toBe("abcd");
  });
  it("Snappy framing", () =>
    expect(read(stream("abcda", [...abcd, 0x02, 4, 0], snappyIdentifier))).toBe("abcda"));
  it("no identifier first, even behind a skipped chunk", () => {
    expect(read(stored(raw("ab")))).toBe("DM_COMPRESSED_CORRUPT");
    expect(read(stored(chunk(0x80, []), identifier, raw("ab")))).toBe("DM_COMPRESSED_CORRUPT");
  });
  it("unknown ones that may not be skipped", () => {
    for (const type of [0x02, 0x7f])
      expect(read(stored(identifier, chunk(type, [1, 2, 3, 4])))).toBe("DM_COMPRESSED_CORRUPT");
  });
  it("one too short for its checksum", () => {
    for (const type of [0, 1])
      expect(read(stored(identifier, chunk(type, [1, 2, 3])))).toBe("DM_COMPRESSED_CORRUPT");
  });
  it("a wrong checksum", () => {
    const wrong = raw("ab").with(4, 0);
    expect(read(stored(identifier, wrong))).toBe("DM_COMPRESSED_CHECKSUM");
  });
  it("blocks of 4 MiB, but not a byte more", () => {
    const repeat = (length: number) => {
      const rest = length - 5 - 65540;
      return [0x00, 0x78, 0x01, 0x01, 0x1d, 0x00, rest & 0xff, (rest >> 8) & 0xff, rest >> 16];
    };
    const text = "x".repeat(4 << 20);
    expect(read(stream(text, repeat(4 << 20))) === text).toBe(true);
    expect(read(stream(`${text}x`, repeat((4 << 20) + 1)))).toBe("DM_COMPRESSED_CORRUPT");
    expect(read(stored(identifier, chunk(1, new Array<number>((4 << 20) + 5).fill(0))))).toBe(
      "DM_COMPRESSED_CORRUPT",
    );
  });
  it("a length that does not end", () => {
    const body = [0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    expect(read(stored(identifier, chunk(0, body)))).toBe("DM_COMPRESSED_CORRUPT");
  });
});

describe("the encoder", () => {
  it("compresses text, better with more effort, and the parallel names give the same stream", () => {
    const text = prose(1 << 20);
    const fast = compress("s2-default", text);
    const better = compress("s2-better", text);
    expect(fast.length).toBeLessThan(text.length * 0.45);
    expect(better.length).toBeLessThan(fast.length);
    for (const name of ["s2-parallel-4", "s2-parallel-8"])
      expect(compress(name, text).subarray(4)).toEqual(fast.subarray(4));
  });
  it("stores what does not compress, eight bytes a block longer", () => {
    const data = splitmix64(41n, (2 << 20) + 5);
    expect(compress("s2-default", data).length).toBe(4 + 10 + 3 * 8 + data.length);
  });
  it("any length around a block's end, and any period", () => {
    for (const name of ["s2-default", "s2-better"]) {
      for (const length of [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 13]) {
        const data = prose(length);
        expect(Buffer.compare(decompress(compress(name, data), { maxBytes: length }), data)).toBe(
          0,
        );
      }
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 200_000 }),
          fc.integer({ min: 1, max: 700_000 }),
          fc.bigInt(0n, 99n),
          (period, length, seed) => {
            const unit = splitmix64(seed, period);
            const data = Uint8Array.from({ length }, (_, index) => unit[index % period]!);
            expect(
              Buffer.compare(decompress(compress(name, data), { maxBytes: length }), data),
            ).toBe(0);
          },
        ),
        { numRuns: 25 },
      );
    }
  });
});
