/**
 * What checks need of Markdown: fenced blocks and links. A line scanner, not a parser; good for the pages of this project.
 * @module
 */

export interface FencedBlock {
  /** First word after the fence: `ts`, `sh`, … or "". */
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence, 1-based. */
  readonly line: number;
  /** What it prints, where the page says so: the block that follows on a line "It prints". */
  readonly output?: string;
}

export function fencedBlocks(markdown: string): FencedBlock[] {
  const blocks: FencedBlock[] = [];
  let open: { fence: string; language: string; line: number; lines: string[] } | undefined;
  let proseBefore = "";
  for (const [index, line] of markdown.split("\n").entries()) {
    const fence = /^\s*(`{3,}|~{3,})\s*(\S*)/.exec(line);
    if (open && fence?.[1]?.startsWith(open.fence) && fence[2] === "") {
      const { language, line, lines } = open;
      const text = `${lines.join("\n")}\n`;
      const example = proseBefore.trim() === "It prints" ? blocks.pop() : undefined;
      if (example) blocks.push({ ...example, output: text });
      blocks.push({ language, text, line });
      open = undefined;
      proseBefore = "";
    } else if (open) open.lines.push(line);
    else if (fence) {
      open = { fence: fence[1] ?? "", language: fence[2] ?? "", line: index + 1, lines: [] };
    } else proseBefore += `${line}\n`;
  }
  if (open) throw new Error(`the block that begins in line ${open.line} has no end`);
  return blocks;
}

/** Text outside of fenced blocks and code spans. */
function prose(markdown: string): string {
  let inside = "";
  const lines = markdown.split("\n").map((line) => {
    const fence = /^\s*(`{3,}|~{3,})/.exec(line)?.[1] ?? "";
    if (inside === "" && fence !== "") inside = fence;
    else if (inside !== "" && fence.startsWith(inside)) inside = "";
    else if (inside === "") return line.replace(/(`+)[^`]*\1/g, "");
    return "";
  });
  return lines.join("\n");
}

/** Targets of links and images: `[a](target)`, `[a]: target`. */
export function links(markdown: string): string[] {
  const text = prose(markdown);
  const inline = [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const references = [...text.matchAll(/^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$/gm)];
  return [...inline, ...references].map((match) => match[1] ?? "");
}

/** Anchors of headings, as GitHub makes them. */
export function anchors(markdown: string): string[] {
  const counts = new Map<string, number>();
  return [...prose(withSpans(markdown)).matchAll(/^#{1,6}\s+(.*?)\s*#*\s*$/gm)].map((match) => {
    const slug = (match[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
    const count = counts.get(slug) ?? 0;
    counts.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
}

/** Headings keep the text of their code spans. */
const withSpans = (markdown: string): string =>
  markdown
    .split("\n")
    .map((line) => (line.startsWith("#") ? line.replaceAll("`", "") : line))
    .join("\n");
