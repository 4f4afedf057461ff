/** Delays grow to their limit, stay there, and are spread by chance within their bounds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBackoff } from "../../src/runtime/backoff.ts";

describe("backoff", () => {
  it("doubles up to the limit, for ever, and begins again when told", () => {
    const backoff = createBackoff({ firstMs: 200, maxMs: 1_500, jitter: 0 });
    const delays = (): number[] => Array.from({ length: 5 }, () => backoff.nextMs());
    expect(delays()).toEqual([200, 400, 800, 1_500, 1_500]);
    expect(delays()).toEqual([1_500, 1_500, 1_500, 1_500, 1_500]);
    backoff.reset();
    expect(delays()).toEqual([200, 400, 800, 1_500, 1_500]);
  });

  it("leaves a part of each delay to chance", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999999, noNaN: true }), (chance) => {
        const backoff = createBackoff({
          firstMs: 100,
          maxMs: 100,
          jitter: 0.5,
          random: () => chance,
        });
        const delay = backoff.nextMs();
        expect(delay).toBeGreaterThan(50);
        expect(delay).toBeLessThanOrEqual(100);
        expect(delay).toBeCloseTo(100 * (1 - chance / 2));
      }),
    );
  });
});
