// The scanner behind the documentation checks finds blocks, links and headings, and is not fooled by code that looks
// like them: otherwise the other checks would pass by looking at nothing.
import { describe, expect, it } from "vitest";
import { anchors, fencedBlocks, links } from "../src/markdown.ts";

const fence = "```";
const page = `# Title of \`code\` & more
[one](a.md) and ![two](<b.png>) and \`[not](c.md)\`
[three]: d.md#part
${fence}ts
const x = "[not](e.md)"; // # Not a heading
${fence}
## Again
## Again
~~~~sh
${fence}
# inside
~~~~
`;

describe("the Markdown scanner", () => {
  it("finds fenced blocks with language, text and line", () => {
    expect(fencedBlocks(page)).toEqual([
      { language: "ts", text: 'const x = "[not](e.md)"; // # Not a heading\n', line: 4 },
      { language: "sh", text: `${fence}\n# inside\n`, line: 9 },
    ]);
  });
  it("finds what an example is said to print", () => {
    const text = `${fence}ts\na\n${fence}\n\nIt prints\n\n${fence}\nb\n${fence}\nand\n${fence}\nc\n${fence}\n`;
    expect(fencedBlocks(text).map(({ output }) => output)).toEqual(["b\n", undefined, undefined]);
  });
  it("refuses a block without an end", () => {
    expect(() => fencedBlocks(`a\n${fence}ts\nb`)).toThrow("line 2");
  });
  it("finds links outside of code", () => {
    expect(links(page)).toEqual(["a.md", "b.png", "d.md#part"]);
  });
  it("makes the anchors of headings", () => {
    expect(anchors(page)).toEqual(["title-of-code--more", "again", "again-1"]);
  });
});
