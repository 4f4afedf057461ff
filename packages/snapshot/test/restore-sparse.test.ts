// Sparse writing leaves the same bytes as plain writing, whatever the data and wherever a piece begins; blocks of zeros stay
// holes.
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { writeAll, writeSparse } from "../src/node/restore/sparse-write.ts";
import { fc } from "./property.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-sparse-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs of zeros and of other bytes. */
const runs = fc.array(fc.tuple(fc.boolean(), fc.oneof(fc.nat(20), fc.nat(300), fc.nat(9000))), {
  maxLength: 12,
});

function bytesOf(all: readonly (readonly [boolean, number])[]): Uint8Array {
  return Buffer.concat(
    all.map(([isZero, length], index) => Buffer.alloc(length, isZero ? 0 : index + 1)),
  );
}

it("has the bytes of plain writing", () => {
  const path = join(folder, "f");
  fc.assert(
    fc.property(runs, fc.nat(10_000), fc.constantFrom(64, 512, 4096), (all, position, block) => {
      const bytes = bytesOf(all);
      const fd = openSync(path, "w");
      ftruncateSync(fd, position + bytes.length);
      writeSparse(fd, bytes, position, block);
      closeSync(fd);
      expect(readFileSync(path).equals(Buffer.concat([Buffer.alloc(position), bytes]))).toBe(true);
    }),
    { numRuns: 150 },
  );
});

it("writes long data in full", () => {
  const path = join(folder, "g");
  const bytes = new Uint8Array(1 << 20).map((_, index) => index % 251);
  const fd = openSync(path, "w");
  writeAll(fd, bytes, 3);
  closeSync(fd);
  expect(readFileSync(path).subarray(3).equals(bytes)).toBe(true);
});
