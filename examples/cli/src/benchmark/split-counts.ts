/**
 * The data and the figures of `benchmark splitter`, equal to kopia's.
 * Proof: test/benchmark.test.ts compares them with recorded ones.
 * @module
 */
import { goRandom } from "@dm/splitter/benchmark-data";

/** How many segments, and lengths at percentiles. */
export interface SplitCounts {
  readonly count: number;
  readonly min: number;
  readonly p10: number;
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
  readonly p90: number;
  readonly max: number;
}

/** @param lengths sorted in place */
export function splitCounts(lengths: number[]): SplitCounts {
  lengths.sort((a, b) => a - b);
  const count = lengths.length;
  const at = (percent: number): number => lengths[Math.floor((count * percent) / 100)]!;
  const [p10, p25, p50, p75, p90] = [10, 25, 50, 75, 90].map(at) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { count, min: lengths[0]!, p10, p25, p50, p75, p90, max: lengths[count - 1]! };
}

export const splitCountsText = (counts: SplitCounts): string =>
  `count:${counts.count} min:${counts.min} 10th:${counts.p10} 25th:${counts.p25} ` +
  `50th:${counts.p50} 75th:${counts.p75} 90th:${counts.p90} max:${counts.max}`;

let kept: { readonly key: string; readonly blocks: readonly Uint8Array[] } | undefined;

/** Blocks read one after the other from one generator. The last ones made are kept: all splitters take the same. */
export async function randomBlocks(
  seed: number,
  blockBytes: number,
  blockCount: number,
): Promise<readonly Uint8Array[]> {
  const key = `${seed} ${blockBytes} ${blockCount}`;
  if (kept?.key === key) return kept.blocks;
  const random = goRandom(seed);
  const blocks: Uint8Array[] = [];
  for (let index = 0; index < blockCount; index++) {
    const block = new Uint8Array(blockBytes);
    random.fill(block);
    blocks.push(block);
  }
  kept = { key, blocks };
  return blocks;
}
