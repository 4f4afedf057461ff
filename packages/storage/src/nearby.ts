/**
 * How far away a store is: what latency means for how many calls to have under way.
 * Proof: test/wrappers.test.ts.
 * @module
 */
import type { BlobStore } from "./blob-store.ts";

const nearbyTypes: ReadonlySet<string> = new Set(["filesystem", "memory"]);

/**
 * Whether a store answers from this machine. Elsewhere each call waits for a network, and many small calls at once take no
 * longer than one. Wrappers are as near as what they wrap.
 */
export function isNearby(store: Pick<BlobStore, "type">): boolean {
  return nearbyTypes.has(store.type);
}
