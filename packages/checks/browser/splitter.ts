/** Cut points of every splitter, for data handed over whole and in pieces. */
import { createSplitter, describeSplitters } from "@dm/splitter";
import { generate } from "../../fixtures/src/generate.ts";
import { type Outcome, Report, type Source, sha256Hex } from "./outcome.ts";

export async function check(source: Source): Promise<Outcome> {
  const report = new Report();
  const { sets, pieces, small } = await source.json("/vectors/splitter");
  for (const { algorithm, backend } of describeSplitters()) {
    const best = algorithm.startsWith("FIXED") ? "javascript" : "wasm";
    report.equal(backend, best, `back-end of ${algorithm}`);
  }
  const data = new Map<string, Uint8Array>();
  for (const { data: spec, cuts, pieceLength } of [...sets, ...pieces, ...small]) {
    const key = JSON.stringify(spec);
    if (!data.has(key)) data.set(key, generate(spec));
    const bytes = data.get(key)!;
    for (const name of Object.keys(cuts)) {
      const lengths = split(name, bytes, pieceLength || bytes.length);
      const expected = cuts[name];
      const what = `${name} of ${key} in pieces of ${pieceLength || bytes.length}`;
      if (Array.isArray(expected)) {
        report.equal(lengths.join(), expected.join(), what);
        continue;
      }
      report.equal(lengths.length, expected.count, `${what}: count`);
      const words = new Uint8Array(lengths.length * 4);
      const view = new DataView(words.buffer);
      for (const [index, length] of lengths.entries()) view.setUint32(index * 4, length, true);
      report.equal(await sha256Hex(words), expected.sha256LE32, what);
    }
  }
  return report.outcome;
}

function split(name: string, bytes: Uint8Array, pieceLength: number): number[] {
  const splitter = createSplitter(name);
  const lengths: number[] = [];
  let current = 0;
  for (let start = 0; start < bytes.length; start += pieceLength) {
    const piece = bytes.subarray(start, start + pieceLength);
    for (let from = 0; from < piece.length; ) {
      const cut = splitter.next(piece, from);
      const end = cut < 0 ? piece.length : cut;
      current += end - from;
      from = end;
      if (cut >= 0) {
        lengths.push(current);
        current = 0;
      }
    }
  }
  if (current > 0) lengths.push(current);
  return lengths;
}
