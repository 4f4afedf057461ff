/**
 * Ignore rules the slow way: each star tries all places, outcomes are passed up as Kopia's matcher passes them. For rules of
 * plain characters, `*`, `**`, `?` and the sets `[ab]` and `[!a]` only.
 */
type Token = { kind: "character" | "escaped" | "any" | "star" | "stars" | "set"; text: string };
type Outcome = "match" | "no" | "all" | "level";

export function referenceMatches(rule: string, path: string, ofRoot: boolean): boolean {
  let text = rule;
  const tokens: Token[] = [];
  if (!text.startsWith("/") && text !== "") {
    const first = text.indexOf("/");
    if (text === "**") tokens.push(token("/"));
    else if (first < 0 || first === text.length - 1)
      tokens.push(...(ofRoot ? [] : [token("/")]), token("**"), token("/"));
    else tokens.push(token("/"));
  }
  // Only for directories: the paths here are all files.
  if (text.endsWith("/")) return false;
  let before = "";
  while (text !== "") {
    const [found] = /^(\\.|\*+|\[[^\]]*\]|.)/su.exec(text)!;
    text = text.slice(found.length);
    let kind = found;
    if (/^\*+$/.test(found)) {
      const whole = before === "" || (before === "/" && (text === "" || text.startsWith("/")));
      kind = found.length > 1 && whole ? "**" : "*";
    }
    tokens.push(token(kind));
    before = found.at(-1)!;
  }
  return walk(tokens, [...path]) === "match";
}

function token(text: string): Token {
  if (text === "*") return { kind: "star", text };
  if (text === "**") return { kind: "stars", text };
  if (text === "?") return { kind: "any", text };
  if (text.startsWith("[")) return { kind: "set", text };
  if (text.startsWith("\\")) return { kind: "escaped", text: text.slice(1) };
  return { kind: "character", text };
}

function walk(tokens: readonly Token[], path: readonly string[]): Outcome {
  let at = 0;
  for (const [index, { kind, text }] of tokens.entries()) {
    const rest = tokens.slice(index + 1);
    const character = path[at];
    if (kind === "star" || kind === "stars") {
      if (rest.length === 0) return kind === "star" && path.includes("/", at) ? "no" : "match";
      const beforeLevel = rest[0]!.kind === "character" && rest[0]!.text === "/";
      if (kind === "stars" && beforeLevel && rest.length > 1) {
        if (walk(rest.slice(1), path.slice(at)) === "match") return "match";
      }
      if (kind === "star" && beforeLevel) {
        at = path.indexOf("/", at);
        if (at < 0) return "no";
        continue;
      }
      let eaten = character;
      for (; at < path.length; at++) {
        const outcome = walk(rest, path.slice(at));
        if (outcome === "match" || outcome === "all") return outcome;
        if (kind === "star" && outcome === "level") return outcome;
        if (kind === "star" && eaten === "/") return "level";
        eaten = path[at];
      }
      return "all";
    }
    if (character === undefined) return "all";
    if (kind === "any" ? character === "/" : !equals(kind, text, character)) return "no";
    at++;
  }
  return at === path.length ? "match" : "no";
}

function equals(kind: Token["kind"], text: string, character: string): boolean {
  if (kind !== "set") return character === text;
  return text.startsWith("[!")
    ? !text.slice(2, -1).includes(character)
    : text.slice(1, -1).includes(character);
}
