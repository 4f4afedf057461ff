// Error correction stores Kopia's bytes, repairs what Kopia repairs, and refuses the rest with a typed error.
import { DmError } from "@dm/core";
import { generate, loadVectors, sha256Hex } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { createEcc } from "../src/ecc/index.ts";
import { shardParameters } from "../src/ecc/shard-layout.ts";

const algorithm = "REED-SOLOMON-CRC32";

interface Damage {
  readonly what: string;
  readonly edits: { readonly at: number; readonly xor: number }[] | null;
  readonly recovered: boolean;
}

interface Case {
  readonly data: { readonly kind: string; readonly seed: string; readonly len: number };
  readonly encodedLength: number;
  readonly encodedSha256: string;
  readonly damage: Damage[];
}

it("takes the parameters of every percentage from the format's rules", () => {
  const { columns, rows } = loadVectors("ecc-parameters" as never) as {
    columns: string[];
    rows: number[][];
  };
  expect(columns.slice(0, 4)).toEqual(["percent", "shardSize", "dataShards", "parityShards"]);
  expect(rows.length).toBe(100);
  for (const [percent, shardBytes, dataShards, parityShards] of rows as [
    number,
    number,
    number,
    number,
  ][])
    expect({ percent, ...shardParameters(percent) }).toEqual({
      percent,
      shardBytes,
      dataShards,
      parityShards,
    });
});

const { overheads } = loadVectors("ecc") as {
  overheads: { overheadPercent: number; cases: Case[] }[];
};

describe.each(overheads)("$overheadPercent per cent", ({ cases, overheadPercent }) => {
  const ecc = createEcc(algorithm, overheadPercent);

  it.each(cases)("$data.len bytes", ({ damage, data, encodedLength, encodedSha256 }) => {
    const bytes = generate({ ...data, generator: data.kind } as never);
    const encoded = ecc.encode(bytes);
    expect(encoded.length).toBe(encodedLength);
    expect(sha256Hex(encoded)).toBe(encodedSha256);
    expect(ecc.encodedLength(bytes.length)).toBe(encodedLength);
    for (const { edits, recovered, what } of damage) {
      const damaged = encoded.slice();
      for (const { at, xor } of edits ?? []) damaged[at]! ^= xor;
      if (!recovered) {
        expect(() => ecc.decode(damaged), what).toThrow(DmError);
        continue;
      }
      const decoded = ecc.decode(damaged);
      expect(Buffer.compare(decoded.data, bytes), what).toBe(0);
      expect(decoded.repairedShards > 0, what).toBe((edits ?? []).length > 0);
    }
  });
});

it("refuses what it does not know", () => {
  expect(() => createEcc("HOPE", 10)).toThrow(
    expect.objectContaining({
      code: "DM_ECC_UNSUPPORTED",
      message: expect.stringContaining(algorithm),
    }),
  );
  for (const percent of [0, 101, 1.5, -1])
    expect(() => createEcc(algorithm, percent)).toThrow(RangeError);
});
