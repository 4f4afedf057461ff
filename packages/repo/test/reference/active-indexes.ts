/**
 * Which index blobs count: by epochs, or by the older log of compactions.
 * @module
 */

export const poisonBlob =
  "n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required";

export interface ActiveIndexes {
  readonly blobs: readonly string[];
  /** Undefined without epochs. */
  readonly writeEpoch?: number;
  /** Deleted contents up to this time do not exist; 0 when there is no watermark. */
  readonly watermark: number;
}

const number = (id: string): number => Number(/^\D*(\d+)/.exec(id)?.[1]);
const withPrefix = (ids: readonly string[], prefix: string): string[] =>
  ids.filter((id) => id.startsWith(prefix));

/** Sets of blobs of which every member is there; a name without set and count is a set of one. */
function completeSets(ids: readonly string[]): string[][] {
  const sets = new Map<string, { count: number; ids: string[] }>();
  for (const id of ids) {
    const [, set, count] = /-(s[^-]*)-c(\d+)$/.exec(id) ?? [];
    const name = set ?? id;
    const known = sets.get(name) ?? { count: Number(count ?? 1), ids: [] };
    known.ids.push(id);
    sets.set(name, known);
  }
  return [...sets.values()].filter((set) => set.ids.length === set.count).map((set) => set.ids);
}

/** The chain of ranges from epoch 0 that reaches furthest; of several the shortest. */
function rangeChain(ranges: readonly { first: number; last: number; ids: string[] }[]) {
  let best = { last: -1, chain: [] as typeof ranges };
  const extend = (last: number, chain: typeof ranges): void => {
    if (last > best.last || (last === best.last && chain.length < best.chain.length))
      best = { last, chain };
    for (const range of ranges)
      if (range.first === last + 1 && range.last >= range.first)
        extend(range.last, [...chain, range]);
  };
  extend(-1, []);
  return best;
}

export function activeByEpochs(ids: readonly string[]): ActiveIndexes {
  const writeEpoch = Math.max(0, ...withPrefix(ids, "xe").map(number));
  const watermark = Math.max(0, ...withPrefix(ids, "xw").map(number));
  const ranges = completeSets(withPrefix(ids, "xr")).flatMap((set) => {
    const [, first, last] = /^xr(\d+)_(\d+)_/.exec(set[0]!) ?? [];
    // A range of one epoch is left to the epoch's own blobs.
    return first === last ? [] : [{ first: Number(first), last: Number(last), ids: set }];
  });
  const { chain, last } = rangeChain(ranges);
  const blobs = chain.flatMap((range) => range.ids);
  for (let epoch = last + 1; epoch <= writeEpoch + 1; epoch += 1) {
    const compacted = completeSets(withPrefix(ids, `xs${epoch}_`))[0];
    const settled = epoch <= writeEpoch - 2;
    blobs.push(...(settled && compacted ? compacted : withPrefix(ids, `xn${epoch}_`)));
  }
  return { blobs, writeEpoch, watermark };
}

/** `readLog` decrypts the text of a compaction log. */
export function activeByLog(
  ids: readonly string[],
  readLog: (id: string) => string,
): ActiveIndexes {
  const listed = new Set(withPrefix(ids, "n").filter((id) => id !== poisonBlob));
  const replaced = new Set<string>();
  for (const id of withPrefix(ids, "m")) {
    const log: Record<"inputMetadata" | "outputMetadata", { id: string }[]> = JSON.parse(
      readLog(id),
    );
    if (!log.outputMetadata.every((output) => listed.has(output.id))) continue;
    for (const input of log.inputMetadata) replaced.add(input.id);
  }
  return { blobs: [...listed].filter((id) => !replaced.has(id)), watermark: 0 };
}
