// Everything that Kopia was recorded to write is read back, everything that it refuses is refused, and what it reads from
// damaged streams is read as the same bytes or refused: for each compressor, with each back-end.
import { DmError, fromBase64 } from "@dm/core";
import { generate, loadVectors, sha256Hex } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { compressorByHeaderId, compressors, decompress } from "../src/index.ts";
import { backendsOf, outcome } from "./support.ts";

interface Sample {
  readonly base64: string;
  readonly input: string;
  readonly what?: string;
  readonly decodesTo?: { readonly length: number; readonly sha256: string };
}
interface Vectors {
  readonly compressors: readonly {
    readonly name: string;
    readonly headerID: string;
    readonly supported: boolean;
    readonly deprecated: boolean;
    readonly samples?: readonly Sample[];
    readonly mustFail: readonly Sample[];
    readonly lenient?: readonly Sample[];
  }[];
  readonly inputs: Readonly<
    Record<
      string,
      { readonly base64?: string; readonly sha256: string; readonly generator?: never }
    >
  >;
  readonly unknownHeaders: readonly { readonly base64: string }[];
}
const vectors: Vectors = loadVectors("compression");
const maxBytes = 4 << 20;

const cases = Object.values(compressors).flatMap((compressor) =>
  backendsOf(compressor.name).map((backend) => {
    const recorded = vectors.compressors.find(({ name }) => name === compressor.name)!;
    return { name: compressor.name, backend, recorded };
  }),
);

it("every recorded compressor is in the registry under its header ID", () => {
  const ours = Object.values(compressors).map(({ name, headerId, deprecated }) => ({
    name,
    headerId,
    deprecated,
  }));
  const theirs = vectors.compressors
    .filter(({ supported }) => supported)
    .map(({ name, headerID, deprecated }) => ({ name, headerId: Number(headerID), deprecated }));
  const byId = (a: { headerId: number }, b: { headerId: number }) => a.headerId - b.headerId;
  expect(ours.sort(byId)).toEqual(theirs.sort(byId));
});

describe.each(cases)("$name with $backend", ({ recorded, backend }) => {
  it.each(recorded.samples!)("reads $input", ({ base64, input }) => {
    const data = decompress(fromBase64(base64), {
      maxBytes,
      backend,
      headerId: Number(recorded.headerID),
    });
    const expected = vectors.inputs[input]!;
    if (expected.generator !== undefined) expect(data).toEqual(generate(expected.generator));
    expect(sha256Hex(data)).toBe(expected.sha256);
  });

  it.each(recorded.mustFail)("refuses $input, $what", ({ base64 }) => {
    expect(() => decompress(fromBase64(base64), { maxBytes, backend })).toThrow(DmError);
  });

  it.each(recorded.lenient!)(
    "reads as Kopia does, or refuses, $input, $what",
    ({ base64, decodesTo }) => {
      const result = outcome(fromBase64(base64), maxBytes, backend);
      if (typeof result !== "string") expect(sha256Hex(result)).toBe(decodesTo!.sha256);
    },
  );
});

it("takes the leniencies that the format page promises", () => {
  const whats = ["header only", "compressed stream twice (second without header)"];
  for (const { recorded, backend } of cases) {
    for (const { base64, what } of recorded.lenient!) {
      if (whats.includes(what!))
        expect(outcome(fromBase64(base64), maxBytes, backend)).not.toBeTypeOf("string");
    }
  }
});

it("refuses lz4 by its name", () => {
  const { mustFail } = vectors.compressors.find(({ name }) => name === "lz4")!;
  for (const { base64 } of mustFail) {
    expect(() => decompress(fromBase64(base64), { maxBytes })).toThrow(/lz4/);
  }
  expect(() => compressorByHeaderId(0x1400)).toThrow(
    expect.objectContaining({ code: "DM_COMPRESSOR_REMOVED" }),
  );
});

it.each(vectors.unknownHeaders)("refuses unknown header $base64, naming it", ({ base64 }) => {
  const stored = fromBase64(base64);
  const id = new DataView(stored.buffer, stored.byteOffset).getUint32(0);
  expect(() => decompress(stored, { maxBytes })).toThrow(
    expect.objectContaining({
      code: "DM_COMPRESSOR_UNKNOWN",
      message: expect.stringContaining(`0x${id.toString(16)};`),
    }),
  );
});
