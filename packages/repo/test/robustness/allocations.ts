/** Watches how much memory code asks for at once: a decoder that trusts a length in damaged bytes asks for too much. */

const original = globalThis.Uint8Array;

/** Runs `work` and answers the longest array of bytes that it asked for by a length. */
export function largestAllocation(work: () => void): number {
  let largest = 0;
  globalThis.Uint8Array = new Proxy(original, {
    construct(target, values: unknown[], newTarget) {
      const [length] = values;
      if (typeof length === "number") largest = Math.max(largest, length);
      return Reflect.construct(target, values, newTarget) as object;
    },
  });
  try {
    work();
  } finally {
    globalThis.Uint8Array = original;
  }
  return largest;
}
