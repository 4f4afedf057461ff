/** What a splitter makes of bytes that are handed over in pieces. */

interface Cutting {
  next(bytes: Uint8Array, from: number): number;
}

/** Segment lengths, the rest at the end among them; `pieceLength` 0 means: all at once. */
export function segmentLengths(splitter: Cutting, bytes: Uint8Array, pieceLength = 0): number[] {
  return segmentLengthsOf(splitter, piecesOf(bytes, pieceLength || bytes.length));
}

function* piecesOf(bytes: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

export function segmentLengthsOf(splitter: Cutting, pieces: Iterable<Uint8Array>): number[] {
  const lengths: number[] = [];
  // Bytes of the present segment before the present piece.
  let before = 0;
  for (const piece of pieces) {
    let from = 0;
    for (;;) {
      const cut = splitter.next(piece, from);
      if (cut < 0) break;
      lengths.push(before + cut - from);
      before = 0;
      from = cut;
    }
    before += piece.length - from;
  }
  if (before > 0) lengths.push(before);
  return lengths;
}

/** The figures of a line of `kopia benchmark splitter`. */
export function summarize(lengths: readonly number[]): Record<string, number> {
  const sorted = [...lengths].sort((a, b) => a - b);
  const at = (percent: number): number => sorted[Math.floor((sorted.length * percent) / 100)]!;
  return {
    count: sorted.length,
    min: sorted[0]!,
    "10th": at(10),
    "25th": at(25),
    "50th": at(50),
    "75th": at(75),
    "90th": at(90),
    max: sorted.at(-1)!,
  };
}
