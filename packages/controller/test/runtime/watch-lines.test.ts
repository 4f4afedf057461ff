/** Lines come out whole wherever the chunks are cut, and what has no line break never comes out. */
import { isDmError } from "@dm/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLineSplitter, maxWatchLineBytes } from "../../src/runtime/watch-lines.ts";

describe("watch lines", () => {
  it("are the same for every cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "grapheme", minLength: 1 }).map((text) => JSON.stringify(text))),
        fc.string(),
        fc.array(fc.nat(40), { minLength: 1 }),
        (lines, rest, cuts) => {
          const unfinished = JSON.stringify(rest);
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join("") + unfinished);
          const splitter = createLineSplitter();
          const seen: string[] = [];
          for (let from = 0, cut = 0; from < bytes.length; cut += 1) {
            const to = from + (cuts[cut % cuts.length] ?? 0) + 1;
            seen.push(...splitter.push(bytes.subarray(from, to)));
            from = to;
          }
          expect(seen).toEqual(lines);
        },
      ),
    );
  });

  it("beyond the limit are refused", () => {
    const splitter = createLineSplitter();
    const chunk = new Uint8Array(1 << 20).fill(0x20);
    const push = (): void => {
      for (let sent = 0; sent <= maxWatchLineBytes; sent += chunk.length) splitter.push(chunk);
    };
    expect(push).toThrow(expect.toSatisfy((error) => isDmError(error, "DM_KUBE_UNAVAILABLE")));
  });
});
