/**
 * Finds repetitions for the encoders here (S2, portable zstd). Two efforts: "fast" looks up four bytes in one hash table and
 * takes what it finds, skipping ahead faster the longer it finds nothing; "better" prefers eight-byte matches from a second
 * table and looks one position ahead before settling for a short one.
 * @module
 */

export type Effort = "fast" | "better";

const minMatch = 4;
/** Below this many bytes from the end nothing is looked up, so that eight bytes can always be read. */
const tail = 12;
const golden = 0x9e3779b1 | 0;
const mixer = 0x85ebca6b | 0;
const maxTableLog = 16;
const minTableLog = 8;

/** State of one run over one input; equal inputs give equal matches, whatever was compressed before. */
export interface Matcher {
  readonly data: Uint8Array;
  readonly view: DataView;
  readonly effort: Effort;
  /** Hash of four bytes → the last position that had it, or -1. */
  readonly short: Int32Array;
  readonly shortShift: number;
  /** The same for eight bytes; used by "better" only. */
  readonly long: Int32Array;
  readonly longShift: number;
  /** Triples of literal length, match length, offset. */
  readonly sequences: Int32Array;
}

// Reused by all runs: compressing is synchronous.
const shortTable = new Int32Array(1 << maxTableLog);
let longTable: Int32Array | undefined;
let sequenceSpace = new Int32Array(0);

/** Prepares for blocks of at most `blockBytes` of `data`. Only one matcher may be in use at a time. */
export function createMatcher(data: Uint8Array, blockBytes: number, effort: Effort): Matcher {
  const most = Math.min(data.length, blockBytes);
  // A table as large as the block has bytes is enough, and clearing it costs a small content little.
  const log = Math.min(
    effort === "better" ? maxTableLog : 15,
    Math.max(minTableLog, 32 - Math.clz32(most)),
  );
  const size = 1 << log;
  const short = shortTable.subarray(0, size).fill(-1);
  longTable ??= effort === "better" ? new Int32Array(1 << maxTableLog) : undefined;
  const long = effort === "better" ? longTable!.subarray(0, size).fill(-1) : short;
  const space = 3 * (Math.ceil(most / minMatch) + 1);
  if (sequenceSpace.length < space) sequenceSpace = new Int32Array(space);
  return {
    data,
    view: new DataView(data.buffer, data.byteOffset, data.length),
    effort,
    short,
    shortShift: 32 - log,
    long,
    longShift: 32 - log,
    sequences: sequenceSpace,
  };
}

/**
 * Fills `sequences` with the matches of `from` up to `to` that begin at or after `oldest` and reach at most `maxOffset` back;
 * returns how many. What follows the last match is literals.
 */
export function findMatches(
  matcher: Matcher,
  from: number,
  to: number,
  oldest: number,
  maxOffset: number,
): number {
  return matcher.effort === "fast"
    ? findFast(matcher, from, to, oldest, maxOffset)
    : findBetter(matcher, from, to, oldest, maxOffset);
}

function findFast(
  matcher: Matcher,
  from: number,
  to: number,
  oldest: number,
  maxOffset: number,
): number {
  const { data, view, short, shortShift, sequences } = matcher;
  const limit = to - tail;
  let filled = 0;
  let anchor = from;
  let position = from;
  let offset = 0;
  let patience = 32;
  while (position <= limit) {
    const word = view.getInt32(position, true);
    const slot = Math.imul(word, golden) >>> shortShift;
    let candidate = short[slot]!;
    short[slot] = position;
    if (
      offset > 0 &&
      view.getInt32(position + 1, true) === view.getInt32(position + 1 - offset, true)
    ) {
      position++;
      candidate = position - offset;
    } else if (
      candidate < oldest ||
      position - candidate > maxOffset ||
      view.getInt32(candidate, true) !== word
    ) {
      position += patience++ >> 5;
      continue;
    }
    offset = position - candidate;
    while (position > anchor && candidate > oldest && data[position - 1] === data[candidate - 1]) {
      position--;
      candidate--;
    }
    let end = position + minMatch;
    let other = candidate + minMatch;
    while (end + 4 <= to && view.getInt32(end, true) === view.getInt32(other, true)) {
      end += 4;
      other += 4;
    }
    while (end < to && data[end] === data[other]) {
      end++;
      other++;
    }
    sequences[filled] = position - anchor;
    sequences[filled + 1] = end - position;
    sequences[filled + 2] = offset;
    filled += 3;
    if (end <= limit) {
      const inner = end - 2;
      short[Math.imul(view.getInt32(inner, true), golden) >>> shortShift] = inner;
    }
    anchor = end;
    position = end;
    patience = 32;
  }
  return filled / 3;
}

function findBetter(
  matcher: Matcher,
  from: number,
  to: number,
  oldest: number,
  maxOffset: number,
): number {
  const { data, view, short, shortShift, long, longShift, sequences } = matcher;
  const limit = to - tail;
  let filled = 0;
  let anchor = from;
  let position = from;
  let offset = 0;
  let patience = 64;
  while (position <= limit) {
    const word = view.getInt32(position, true);
    const next = view.getInt32(position + 4, true);
    const slot = Math.imul(word, golden) >>> shortShift;
    const longSlot = (Math.imul(word, golden) ^ Math.imul(next, mixer)) >>> longShift;
    const near = short[slot]!;
    let candidate = long[longSlot]!;
    short[slot] = position;
    long[longSlot] = position;
    const far =
      candidate >= oldest &&
      position - candidate <= maxOffset &&
      view.getInt32(candidate, true) === word &&
      view.getInt32(candidate + 4, true) === next;
    if (far) {
      // Eight bytes or more are taken as they are.
    } else if (
      offset > 0 &&
      view.getInt32(position + 1, true) === view.getInt32(position + 1 - offset, true)
    ) {
      position++;
      candidate = position - offset;
    } else {
      if (near < oldest || position - near > maxOffset || view.getInt32(near, true) !== word) {
        position += patience++ >> 6;
        continue;
      }
      candidate = near;
      // A long match one byte on is worth one more literal.
      const ahead = view.getInt32(position + 1, true);
      const aheadNext = view.getInt32(position + 5, true);
      const aheadSlot = (Math.imul(ahead, golden) ^ Math.imul(aheadNext, mixer)) >>> longShift;
      const better = long[aheadSlot]!;
      if (
        better >= oldest &&
        position + 1 - better <= maxOffset &&
        view.getInt32(better, true) === ahead &&
        view.getInt32(better + 4, true) === aheadNext
      ) {
        long[aheadSlot] = position + 1;
        position++;
        candidate = better;
      }
    }
    offset = position - candidate;
    while (position > anchor && candidate > oldest && data[position - 1] === data[candidate - 1]) {
      position--;
      candidate--;
    }
    let end = position + minMatch;
    let other = candidate + minMatch;
    while (end + 4 <= to && view.getInt32(end, true) === view.getInt32(other, true)) {
      end += 4;
      other += 4;
    }
    while (end < to && data[end] === data[other]) {
      end++;
      other++;
    }
    sequences[filled] = position - anchor;
    sequences[filled + 1] = end - position;
    sequences[filled + 2] = offset;
    filled += 3;
    if (end <= limit) {
      for (let inner = position + 1; inner < end; inner += Math.max(1, end - 2 - inner)) {
        const first = view.getInt32(inner, true);
        const second = view.getInt32(inner + 4, true);
        short[Math.imul(first, golden) >>> shortShift] = inner;
        long[(Math.imul(first, golden) ^ Math.imul(second, mixer)) >>> longShift] = inner;
      }
    }
    anchor = end;
    position = end;
    patience = 64;
  }
  return filled / 3;
}
