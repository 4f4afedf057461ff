/**
 * Cuts JSON text into members without interpreting their values, so that a payload which this program does not
 * understand (and numbers beyond 2^53) can be stored again exactly as it was.
 * @module
 */
import { FormatError } from "@dm/core";

const maxDepth = 512;

function invalid(text: string, position: number): FormatError {
  return new FormatError("DM_JSON_INVALID", `not JSON at position ${position} of ${text.length}`, {
    position,
  });
}

function skipSpace(text: string, position: number): number {
  let at = position;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    at += 1;
  }
}

function skipString(text: string, position: number): number {
  for (let at = position + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at += 1;
    else if (code === 0x22) return at + 1;
  }
  throw invalid(text, position);
}

/** Position just past the value that starts at `position`; nesting is bounded, nothing recurses. */
function skipValue(text: string, position: number): number {
  let at = skipSpace(text, position);
  let depth = 0;
  while (at < text.length) {
    const character = text[at]!;
    if (character === '"') at = skipString(text, at);
    else if (character === "{" || character === "[") {
      depth += 1;
      if (depth > maxDepth) throw invalid(text, at);
      at = skipSpace(text, at + 1);
      continue;
    } else if (character === "}" || character === "]") {
      depth -= 1;
      at += 1;
    } else if ((character === "," || character === ":") && depth > 0) {
      at = skipSpace(text, at + 1);
      continue;
    } else {
      const start = at;
      while (at < text.length && /[-+.0-9A-Za-z]/.test(text[at]!)) at += 1;
      if (at === start) throw invalid(text, at);
    }
    if (depth === 0) return at;
    at = skipSpace(text, at);
  }
  throw invalid(text, at);
}

/**
 * Members of a JSON object as key and raw value text, in order.
 * @throws {FormatError} `DM_JSON_INVALID`
 */
export function rawMembers(text: string): Array<[key: string, raw: string]> {
  const members: Array<[string, string]> = [];
  let at = skipSpace(text, 0);
  if (text[at] !== "{") throw invalid(text, at);
  at = skipSpace(text, at + 1);
  if (text[at] === "}") return members;
  for (;;) {
    if (text[at] !== '"') throw invalid(text, at);
    const keyEnd = skipString(text, at);
    const key = parseJson(text.slice(at, keyEnd)) as string;
    at = skipSpace(text, keyEnd);
    if (text[at] !== ":") throw invalid(text, at);
    const start = skipSpace(text, at + 1);
    const end = skipValue(text, start);
    members.push([key, text.slice(start, end)]);
    at = skipSpace(text, end);
    if (text[at] === "}") return members;
    if (text[at] !== ",") throw invalid(text, at);
    at = skipSpace(text, at + 1);
  }
}

/**
 * Elements of a JSON array as raw texts; `null` counts as empty, as in Go.
 * @throws {FormatError} `DM_JSON_INVALID`
 */
export function rawElements(text: string): string[] {
  const elements: string[] = [];
  let at = skipSpace(text, 0);
  if (text.startsWith("null", at)) return elements;
  if (text[at] !== "[") throw invalid(text, at);
  at = skipSpace(text, at + 1);
  if (text[at] === "]") return elements;
  for (;;) {
    const end = skipValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === "]") return elements;
    if (text[at] !== ",") throw invalid(text, at);
    at = skipSpace(text, at + 1);
  }
}

/**
 * `JSON.parse` with a typed error. It has no cause: the cause would quote the text, which may hold keys.
 * @throws {FormatError} `DM_JSON_INVALID`
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FormatError("DM_JSON_INVALID", "text is not JSON", { length: text.length });
  }
}
