/**
 * The pages of the guide as programs read them: fenced blocks with the words behind the fence, and what a block prints, from the `text`
 * block under it. Ages, times, identifiers and columns that differ from run to run do not count.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const guideFolder: string = fileURLToPath(new URL("../../../docs/guide/", import.meta.url));

export interface GuideBlock {
  readonly page: string;
  /** Of the opening fence, 1-based. */
  readonly line: number;
  readonly language: string;
  /** What stands behind the language: a file's name, whose program it is, a reason. */
  readonly words: string;
  readonly text: string;
  /** Of the `text` block that follows, if one does. */
  readonly prints?: string | undefined;
}

/** But troubleshooting, whose test is that of what it explains. */
export const guidePages = (): string[] =>
  readdirSync(guideFolder).filter((name) => name.endsWith(".md") && name !== "troubleshooting.md");

export function guideBlocks(page: string, folder: string = guideFolder): GuideBlock[] {
  const markdown = readFileSync(`${folder}${page}`, "utf8");
  const fence = /^```([\w-]*)[ \t]*(.*)\n([\s\S]*?)^```$/gm;
  const found = [...markdown.matchAll(fence)].map((match) => ({
    page,
    line: markdown.slice(0, match.index).split("\n").length,
    language: match[1] ?? "",
    words: match[2] ?? "",
    text: match[3] ?? "",
  }));
  return found.flatMap((block, index) => {
    if (block.language === "text") return [];
    const next = found[index + 1];
    return [{ ...block, prints: next?.language === "text" ? next.text : undefined }];
  });
}

/** A line as it can be compared: what a run makes up is replaced, columns have one space between them. */
export function comparable(line: string): string {
  return line
    .replace(/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*( [A-Z]{3,4})?/g, "TIME")
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "UUID")
    .replace(/\b[kx]?[0-9a-f]{32}\b/g, "ID")
    .replace(/(?<=-)([0-9a-f]{10}|[a-z0-9]{5})\b/g, (end) => (isGenerated(end) ? "XXXXX" : end))
    .replace(/\bnode-\d\b/g, "NODE")
    .replace(/(?<=\s)(\d+[smhd])+(?=\s|$)|<invalid>/g, "AGE")
    .replace(/\s+/g, " ")
    .trim();
}

/** Ends of names that a cluster makes up: no words. */
const isGenerated = (end: string): boolean => /\d/.test(end) || !/[aeiouy]/.test(end);

/** What is expected and did not come, in the order of the page; `…` stands for any lines. */
export function missingLines(expected: string, printed: string): string[] {
  const lines = printed.split("\n").map(comparable).filter(Boolean);
  const wanted = expected.split("\n").map(comparable).filter(Boolean);
  if (!wanted.includes("…") && wanted.length !== lines.length)
    return [`${wanted.length} lines are expected, ${lines.length} were printed`];
  let at = 0;
  let mayPass = false;
  const missing: string[] = [];
  for (const line of wanted) {
    if (line === "…") mayPass = true;
    else {
      const found = mayPass ? lines.indexOf(line, at) : lines[at] === line ? at : -1;
      if (found < 0) missing.push(line);
      else at = found + 1;
      mayPass = false;
    }
  }
  return missing;
}
