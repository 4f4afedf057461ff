/**
 * An explanation as people read it.
 * Proof: test/why/explain.test.ts.
 * @module
 */
import type { ChainLine, Explanation } from "./explain.ts";

/** Problems are explained here. */
const page = "docs/guide/troubleshooting.md";

export function explanationText(explanation: Explanation): string {
  const { advice, chain, notRead, problems, summary } = explanation;
  const lines = [summary, ""];
  for (const { cause, id, shownBy, title } of problems) {
    lines.push(`Problem: ${title} (${page}#${id})`, `  ${cause}`);
    lines.push(...shownBy.map((text) => `  - ${text}`), "");
  }
  if (advice.length > 0) lines.push("What to do:", ...advice.map((text) => `  * ${text}`), "");
  lines.push("What was looked at:", ...chain.flatMap(linesOf));
  if (notRead.length > 0)
    lines.push("", "What could not be looked at:", ...notRead.map((text) => `  ${text}`));
  return `${lines.join("\n")}\n`;
}

function linesOf({ depth, role, says, state, title }: ChainLine): string[] {
  const indent = "  ".repeat(depth + 1);
  const part = role === "subject" ? "" : ` (${role})`;
  return [
    `${indent}${title}${part} ${state}`,
    ...says.flatMap((text) => text.split("\n").map((line) => `${indent}    ${line}`)),
  ];
}
