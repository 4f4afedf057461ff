/**
 * The buzhash scan in prefix form. Let A(i) = rotateLeft(A(i - 1), 1) ^ T[byte i], with no leaving byte: 64 rotations of 32 bits
 * are none, so the hash of a window is A(i) ^ A(i - 64). That takes one look-up a byte in place of two, and the tests are made on
 * vectors, sixteen places at a time, over a block of A values that stays in the processor's first cache.
 * @module
 */
import { block, branch, branchIf, type Code, defineFunction, give, i32, i32x4, loop, when } from "./assembler.ts";
import { layout, windowBytes } from "../src/scan-layout.ts";

/** Bytes of one block: 8 KiB of prefix hashes. */
const blockBytes = 2048;
const unrolled = 8;
const wordBytes = 4;
const vectorBytes = 16;
/** Before the prefix hashes of a block lie those of the 64 bytes before. */
const before = windowBytes * wordBytes;

const times = (count: number, code: (index: number) => Code): Code[] =>
  Array.from({ length: count }, (_, index) => code(index));

/**
 * `buzhash(at, end, mask)`: the address just behind the first byte from `at` on after which there is a cut, or 0. The 64 bytes
 * before `at` must be there, and at least one from there to `end`.
 */
export const buzhash = defineFunction(
  "buzhash",
  ["at", "end", "mask"],
  { hash: "i32", from: "i32", to: "i32", stop: "i32", limit: "i32", masks: "v128" },
  ({ at, end, from, hash, limit, mask, masks, stop, to }) => {
    const advance = (local: typeof at, bytes: number): Code => local.set(i32.add(local.get, i32.const(bytes)));
    const turned = (bits: number): Code => i32.rotateLeft(hash.get, i32.const(bits));
    /** The table's word for the byte `index` places from `from`. */
    const look = (index: number, table: number): Code =>
      i32.load(i32.shiftLeft(i32.loadByte(from.get, index), i32.const(2)), table);
    const keep = (index: number, value: Code): Code => i32.store(to.get, value, before + index * wordBytes);
    const single: Code = [
      ...hash.set(i32.xor(turned(1), look(0, layout.buzhashTable))),
      ...keep(0, hash.get),
      ...advance(from, 1),
      ...advance(to, wordBytes),
    ];
    /** Two bytes: the second hash does not wait for the first. */
    const pair = (index: number): Code => {
      const both = i32.xor(look(index, layout.turnedTable), look(index + 1, layout.buzhashTable));
      return [
        ...keep(index, i32.xor(turned(1), look(index, layout.buzhashTable))),
        ...hash.set(i32.xor(turned(2), both)),
        ...keep(index + 1, hash.get),
      ];
    };
    const several: Code = [
      ...times(unrolled / 2, (index) => pair(2 * index)).flat(),
      ...advance(from, unrolled),
      ...advance(to, unrolled * wordBytes),
    ];
    /** Hashes of four windows, the tested bits only. */
    const four = (index: number): Code => {
      const offset = index * vectorBytes;
      return i32x4.and(i32x4.xor(i32x4.load(to.get, before + offset), i32x4.load(to.get, offset)), masks.get);
    };
    const sixteen = i32x4.minimum(i32x4.minimum(four(0), four(1)), i32x4.minimum(four(2), four(3)));
    const one = i32.and(i32.xor(i32.load(from.get, before), i32.load(from.get)), mask.get);
    const cut = i32.add(
      i32.add(at.get, i32.const(1)),
      i32.shiftRight(i32.subtract(from.get, i32.const(layout.prefixes)), i32.const(2)),
    );
    return [
      masks.set(i32x4.splat(mask.get)),
      from.set(i32.subtract(at.get, i32.const(windowBytes))),
      to.set(i32.const(layout.prefixes - before)),
      loop(several, branchIf(0, i32.isLess(from.get, at.get))),
      loop(
        stop.set(i32.add(at.get, i32.const(blockBytes))),
        when(i32.isLess(end.get, stop.get), stop.set(end.get)),
        // Here `to` is at the beginning, and `from` at `at`.
        block(
          loop(
            branchIf(1, i32.isLess(i32.subtract(stop.get, from.get), i32.const(unrolled))),
            several,
            branch(0),
          ),
        ),
        block(loop(branchIf(1, i32.equal(from.get, stop.get)), single, branch(0))),
        limit.set(to.get),
        to.set(i32.const(layout.prefixes)),
        loop(
          when(
            i32x4.anyTrue(i32x4.equal(sixteen, i32x4.zero)),
            // Which of the sixteen, if it is not behind the end.
            from.set(to.get),
            loop(
              when(i32.isLess(from.get, limit.get), when(i32.isZero(one), give(cut))),
              advance(from, wordBytes),
              branchIf(0, i32.isLess(from.get, i32.add(to.get, i32.const(4 * vectorBytes)))),
            ),
          ),
          advance(to, 4 * vectorBytes),
          branchIf(0, i32.isLess(to.get, limit.get)),
        ),
        when(i32.equal(stop.get, end.get), give(i32.const(0))),
        // The end of this block is before the next.
        to.set(i32.const(layout.prefixes)),
        ...times(before / vectorBytes, (index) =>
          i32x4.store(to.get, i32x4.load(to.get, blockBytes * wordBytes + index * vectorBytes), index * vectorBytes),
        ),
        at.set(stop.get),
        from.set(stop.get),
        branch(0),
      ),
      i32.const(0),
    ];
  },
);
