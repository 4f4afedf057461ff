/**
 * The Rabin-Karp scan. Each step waits for the look-up of the one before, so two stretches that follow one another are hashed side
 * by side; the second begins with the 64 bytes before it. The leaving byte comes off after the step, by a table of
 * `b·x^512 mod P`, so that both look-ups of a step can run at once.
 * @module
 */
import { block, branch, branchIf, type Code, defineFunction, give, i32, i64, loop, when } from "./assembler.ts";
import { layout, windowBytes } from "../src/scan-layout.ts";

/** Most and least bytes of a stretch. */
const longest = 4096;
const shortest = 128;
/** Bits of a hash below its top byte. */
const lowBits = 45;

/** `rabinkarp(at, end, mask)`: as `buzhash`, see there. */
export const rabinKarp = defineFunction(
  "rabinkarp",
  ["at", "end", "mask"],
  { first: "i64", second: "i64", from: "i32", stop: "i32", length: "i32", hit: "i32" },
  ({ at, end, first, from, hit, length, mask, second, stop }) => {
    const advance = (local: typeof at): Code => local.set(i32.add(local.get, i32.const(1)));
    const entry = (index: Code, table: number): Code => i64.load(i32.shiftLeft(index, i32.const(3)), table);
    const enter = (hash: typeof first, address: Code): Code =>
      i64.xor(
        i64.or(i64.shiftLeft(hash.get, i64.const(8)), i64.loadByte(address)),
        entry(i32.wrap(i64.shiftRight(hash.get, i64.const(lowBits))), layout.modTable),
      );
    const step = (hash: typeof first, address: Code): Code => {
      const leaving = i32.loadByte(i32.subtract(address, i32.const(windowBytes)));
      return hash.set(i64.xor(enter(hash, address), entry(leaving, layout.outTable)));
    };
    /** Makes the hash of the 64 bytes before `address`. */
    const begin = (hash: typeof first, address: Code): Code => [
      ...hash.set(i64.const(0)),
      ...from.set(i32.subtract(address, i32.const(windowBytes))),
      ...stop.set(address),
      ...loop(
        hash.set(enter(hash, from.get)),
        advance(from),
        branchIf(0, i32.isLess(from.get, stop.get)),
      ),
    ];
    const isCut = (hash: typeof first): Code => i32.isZero(i32.and(i32.wrap(hash.get), mask.get));
    const ahead = i32.add(at.get, length.get);
    return [
      begin(first, at.get),
      loop(
        length.set(i32.shiftRight(i32.subtract(end.get, at.get), i32.const(1))),
        when(i32.isLess(i32.const(longest), length.get), length.set(i32.const(longest))),
        when(
          i32.isLess(length.get, i32.const(shortest)),
          block(
            loop(
              branchIf(1, i32.equal(at.get, end.get)),
              step(first, at.get),
              advance(at),
              when(isCut(first), give(at.get)),
              branch(0),
            ),
          ),
          give(i32.const(0)),
        ),
        begin(second, ahead),
        // Now `stop` is the end of the first stretch, and `from` goes through the second.
        hit.set(i32.const(0)),
        loop(
          step(first, at.get),
          step(second, from.get),
          advance(at),
          advance(from),
          when(isCut(first), give(at.get)),
          when(isCut(second), when(i32.isZero(hit.get), hit.set(from.get))),
          branchIf(0, i32.isLess(at.get, stop.get)),
        ),
        when(hit.get, give(hit.get)),
        at.set(from.get),
        first.set(second.get),
        branch(0),
      ),
      i32.const(0),
    ];
  },
);
