// Proofs of reading: what is appended is found again, a file that ends in the middle of a line loses that line only, and
// what is something else is refused.
import { describe, expect, it } from "vitest";
import { ReadProofs } from "../src/index.ts";

const at = 1_700_000_000_000_000_000n;

function someProofs(): { proofs: ReadProofs; text: string } {
  const proofs = new ReadProofs("00ff", "seed");
  proofs.add("aa", at);
  proofs.add("bb", at + 5n);
  let text = proofs.takeUnwritten();
  proofs.add("cc", at + 10n);
  proofs.nextFrom = 0.25;
  proofs.add("dd", at + 20n);
  proofs.add("aa", at + 30n);
  text += proofs.takeUnwritten();
  return { proofs, text };
}

describe("proofs of reading", () => {
  it("are lines of JSON", () => {
    const { proofs, text } = someProofs();
    expect(text).toBe(`{"version":1,"repository":"00ff","seed":"seed"}
{"at":"2023-11-14T22:13:20Z","read":["aa","bb"]}
{"at":"2023-11-14T22:13:20.00000001Z","read":["cc"]}
{"from":0.25}
{"at":"2023-11-14T22:13:20.00000002Z","read":["dd","aa"]}
`);
    expect(proofs.takeUnwritten()).toBe("");
  });

  it("are found again, never younger than they are", () => {
    const { proofs, text } = someProofs();
    const found = ReadProofs.parse(text);
    expect([found.repositoryId, found.seed, found.nextFrom, found.size]).toEqual([
      "00ff",
      "seed",
      0.25,
      4,
    ]);
    const times = { aa: 20n, bb: 0n, cc: 10n, dd: 20n };
    for (const [id, time] of Object.entries(times)) {
      expect(proofs.readAtNs(id), id).toBe(at + time);
      expect(found.readAtNs(id), id).toBe(at + time);
    }
    expect(found.readAtNs("ee")).toBeUndefined();
    // It goes on without a second head.
    found.add("ee", at + 40n);
    expect(ReadProofs.parse(text + found.takeUnwritten()).size).toBe(5);
  });

  it("cut off anywhere behind the head are those of the lines before", () => {
    const { text } = someProofs();
    const head = text.indexOf("\n") + 1;
    const sizes = new Set<number>();
    for (let length = head; length <= text.length; length++)
      sizes.add(ReadProofs.parse(text.slice(0, length)).size);
    expect([...sizes]).toEqual([0, 2, 3, 4]);
  });

  it("of some objects are kept with their times", () => {
    const { proofs } = someProofs();
    const kept = proofs.only(["aa", "dd", "never read"]);
    expect(kept.takeUnwritten().split("\n")).toHaveLength(4);
    const again = proofs.only(["aa", "dd"]);
    for (const some of [again, ReadProofs.parse(again.takeUnwritten())]) {
      expect([some.size, some.nextFrom, some.seed]).toEqual([2, 0.25, "seed"]);
      expect([some.readAtNs("aa"), some.readAtNs("dd")]).toEqual([at + 20n, at + 20n]);
    }
  });

  it.each([
    [""],
    ["\n"],
    ["{}\n"],
    ["[]\n"],
    ['{"version":2,"repository":"00","seed":"s"}\n'],
    ['{"version":1,"repository":"00","seed":"s"}\nwhat\n'],
    ['{"version":1,"repository":"00","seed":"s"}\n{"read":["aa"]}\n'],
    ['{"version":1,"repository":"00","seed":"s"}\n{"at":"yesterday","read":["aa"]}\n'],
    ['{"version":1,"repository":"00","seed":"s"}\n{"at":"2023-11-14T22:13:20Z","read":[1]}\n'],
  ])("%j is refused", (text) => {
    expect(() => ReadProofs.parse(text)).toThrow(
      expect.objectContaining({ name: "FormatError", code: "DM_PROOFS_INVALID" }),
    );
  });
});
