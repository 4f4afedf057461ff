/**
 * One ignore rule: a pattern in the manner of `.gitignore` with Kopia's deviations, compiled to steps and matched against the
 * path of an entry. Pure. A match costs at most the pattern's length times the path's: no pattern is slower than that.
 * Format: docs/format/policies.md. Proof: test/ignore-pattern.test.ts, test/ignore.kopia.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

/** One compiled ignore rule. */
export interface IgnorePattern {
  /** Begins with `!`: what it matches is kept after all. */
  readonly isNegated: boolean;
  /** Whether it matches a path below the directory of the rule: `/name`, `/directory/name`. */
  matches(path: string, isDirectory: boolean): boolean;
}

/** Longer rules are refused; no path that a system takes is as long. */
const maxPatternLength = 4096;

/**
 * @param ofRoot whether the rule stands in the root of the source, which Kopia treats a little differently
 * @throws {FormatError} `DM_IGNORE_RULE_INVALID` for a backslash at the end, a `[` without its `]`, an unknown class of
 * characters, or a rule of more than 4,096 characters
 * @example
 * const rule = compileIgnorePattern("*.log");
 * rule.matches("/deep/down/app.log", false); // true
 */
export function compileIgnorePattern(text: string, ofRoot = true): IgnorePattern {
  if (text.length > maxPatternLength)
    throw refuse(text, `of ${text.length} characters is longer than ${maxPatternLength}`);
  return new CompiledPattern(new PatternReader(text).read(ofRoot));
}

/** A character to be equal to, any but `/`, `*`, `**`, or a set of characters. `/` is a character like others. */
type Step = string | typeof anyCharacter | typeof star | typeof doubleStar | CharacterSet;
const anyCharacter = Symbol("?");
const star = Symbol("*");
const doubleStar = Symbol("**");

interface CharacterSet {
  readonly isNegated: boolean;
  readonly ranges: readonly (readonly [from: string, to: string])[];
  readonly classes: readonly RegExp[];
}

interface ParsedPattern {
  readonly steps: readonly Step[];
  readonly isNegated: boolean;
  readonly directoriesOnly: boolean;
}

const whiteSpace = /\p{White_Space}/u;

/** Made when a rule names one: together they take 2 ms. */
const classes: Readonly<Record<string, () => RegExp>> = {
  alnum: () => /[\p{L}\p{Nd}]/u,
  alpha: () => /\p{L}/u,
  ascii: () => /[\0-\x7f]/u,
  blank: () => /[\p{Zs}\t]/u,
  cntrl: () => /\p{Cc}/u,
  digit: () => /\p{Nd}/u,
  graph: () => /[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]/u,
  lower: () => /\p{Ll}/u,
  print: () => /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u,
  punct: () => /[\p{P}\p{S}]/u,
  space: () => /\p{White_Space}/u,
  upper: () => /\p{Lu}/u,
  xdigit: () => /[A-Fa-f\p{Nd}]/u,
};

/** Reads the text of a rule, character by character; `""` stands for its end, and for NUL, which ends it, too. */
class PatternReader {
  readonly #text: string;
  readonly #characters: string[];
  #at = 0;

  constructor(text: string) {
    // A blank at the end that a backslash protects must stay; Kopia looks at the last character but one, whatever it precedes.
    const bytes = text.length > 2 && text.at(-2) !== "\\" ? trimSpace(text) : text;
    this.#text = bytes;
    this.#characters = Array.from(bytes);
  }

  read(ofRoot: boolean): ParsedPattern {
    while (whiteSpace.test(this.#peek(0))) this.#at++;
    const isNegated = this.#peek(0) === "!";
    if (isNegated) this.#at++;
    const steps: Step[] = this.#anchor(ofRoot);
    const directoriesOnly = this.#characters.at(-1) === "/";
    if (directoriesOnly) this.#characters.pop();
    for (let character = this.#next(); character !== ""; character = this.#next())
      steps.push(this.#step(character));
    return { steps, isNegated, directoriesOnly };
  }

  /** A rule without a `/`, or with one only at its end, holds at any depth; others begin at the rule's directory. */
  #anchor(ofRoot: boolean): Step[] {
    if (this.#peek(0) === "/" || this.#text === "") return [];
    // Alone it matches everything, and the path begins with a `/`.
    if (this.#text === "**") return ["/"];
    const slash = this.#indexOf("/");
    if (slash >= 0 && slash < this.#characters.length - 1 - this.#at) return ["/"];
    // In the root the first `/` may fall to a negated set: `[!a]b` matches /b there.
    return ofRoot ? [doubleStar, "/"] : ["/", doubleStar, "/"];
  }

  #step(character: string): Step {
    switch (character) {
      case "\\":
        if (this.#at >= this.#characters.length) throw this.#escapesNothing();
        return protectedCharacter(this.#next());
      case "?":
        return anyCharacter;
      case "*":
        return this.#stars();
      case "[":
        return this.#set();
      default:
        return character;
    }
  }

  #stars(): Step {
    if (this.#peek(0) !== "*") return star;
    const before = this.#peek(-2);
    while (this.#peek(0) === "*") this.#at++;
    const endsLevel = this.#peek(0) === "/" || this.#at >= this.#characters.length;
    // At the very beginning of a rule whatever follows is fine.
    return before === "" || (before === "/" && endsLevel) ? doubleStar : star;
  }

  #set(): Step {
    const ranges: [string, string][] = [];
    const named: RegExp[] = [];
    let character = this.#next();
    const isNegated = character === "!";
    if (isNegated) character = this.#next();
    for (; character !== "]" && character !== ""; character = this.#next()) {
      if (character === "\\") character = this.#escaped();
      if (this.#peek(0) === "-" && this.#peek(1) !== "]" && this.#peek(1) !== "") {
        this.#at++;
        let last = this.#next();
        if (last === "\\") last = this.#escaped();
        ranges.push([character, last]);
      } else if (character === "[" && this.#peek(0) === ":") {
        const found = this.#class();
        if (found) named.push(found);
        else ranges.push([character, character]);
      } else {
        ranges.push([character, character]);
      }
    }
    if (character !== "]") throw this.#unterminated();
    return { isNegated, ranges, classes: named };
  }

  /**
   * `[:name:]` behind its bracket. Kopia compares the distance to the `]` with the place in the rule, so that names are only
   * known near the beginning of a rule; further on the bracket is an ordinary character.
   */
  #class(): RegExp | undefined {
    const end = this.#indexOf("]");
    if (end === -1) throw this.#unterminated();
    if (end - 1 <= this.#at || this.#peek(end - 1) !== ":") return undefined;
    const name = this.#characters.slice(this.#at + 1, this.#at + end - 1).join("");
    this.#at += end + 1;
    const found = Object.hasOwn(classes, name.toLowerCase()) && classes[name.toLowerCase()];
    if (!found) throw refuse(this.#text, `has an unknown class of characters [:${name}:]`);
    return found();
  }

  #escaped(): string {
    const character = this.#next();
    if (character === "") throw this.#escapesNothing();
    return character;
  }

  #peek(distance: number): string {
    const character = this.#characters[this.#at + distance];
    return character === undefined || character === "\0" ? "" : character;
  }

  #next(): string {
    const character = this.#peek(0);
    if (character !== "") this.#at++;
    return character;
  }

  /** Distance to the next such character; -1 when there is none. */
  #indexOf(character: string): number {
    const index = this.#characters.indexOf(character, this.#at);
    return index < 0 ? -1 : index - this.#at;
  }

  #escapesNothing(): FormatError {
    return refuse(this.#text, "ends in a backslash that protects nothing; a literal one is \\\\");
  }

  #unterminated(): FormatError {
    return refuse(this.#text, "has a [ without its ]");
  }
}

/** A protected `/` is one like others to the path, but no level to the stars before it. */
function protectedCharacter(character: string): Step {
  if (character !== "/") return character;
  return { isNegated: false, ranges: [["/", "/"]], classes: [] };
}

function trimSpace(text: string): string {
  return text.replace(/^\p{White_Space}+/u, "").replace(/\p{White_Space}+$/u, "");
}

function refuse(text: string, why: string): FormatError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new FormatError("DM_IGNORE_RULE_INVALID", `ignore rule ${JSON.stringify(shown)} ${why}`, {
    rule: shown,
  });
}

/** How far a match came. After `end` or `nextLevel` the stars before need not try every place. */
type Outcome = 1 | 2 | 3 | 4;
const matched = 1;
const mismatched = 2;
/** The path ended before the pattern: wherever a star before ended, it would again. */
const end = 3;
/** A `*` met a `/`: only a `**` before can still help. */
const nextLevel = 4;

const noOutcomes = new Uint8Array(0);

/** @internal */
export class CompiledPattern implements IgnorePattern {
  readonly isNegated: boolean;
  readonly #directoriesOnly: boolean;
  readonly #steps: readonly Step[];
  /** Stars that may end at several places. */
  readonly #loops: readonly number[];
  /** What paths end in, for a rule like `*.log` or `name` at any depth: most rules are such. */
  readonly #ending: string | undefined;
  /** How often steps may still be tried at some place; below 0 the outcome means nothing. */
  #attempts = 0;

  constructor({ directoriesOnly, isNegated, steps }: ParsedPattern) {
    this.isNegated = isNegated;
    this.#directoriesOnly = directoriesOnly;
    this.#steps = joined(steps);
    this.#loops = [...this.#steps.keys()].filter((index) => this.#isLoop(index));
    this.#ending = endingOf(this.#steps);
  }

  matches(path: string, isDirectory: boolean): boolean {
    if (this.#directoriesOnly && !isDirectory) return false;
    if (this.#ending !== undefined) return path.endsWith(this.#ending);
    // Most rules fail or match at once. One that tries many ways is begun anew: by a table, each way once.
    this.#attempts = 4 * path.length;
    const outcome = this.#from(0, path, 0, undefined);
    return this.#attempts >= 0 ? outcome === matched : this.matchesByTable(path);
  }

  /** What `matches` says of a file, in a time that is the same for all rules of a length. */
  matchesByTable(path: string): boolean {
    return this.#from(0, path, 0, this.#solve(path)) === matched;
  }

  #isLoop(index: number): boolean {
    const step = this.#steps[index];
    if (index === this.#steps.length - 1) return false;
    return step === doubleStar || (step === star && this.#steps[index + 1] !== "/");
  }

  /**
   * Matches the steps from `step` on with the path from `at` on, as Kopia's matcher does, deviations included.
   * @param next outcomes of the next star that may end at several places, for each place where it begins
   */
  #from(step: number, path: string, at: number, next: Uint8Array | undefined): Outcome {
    if (next === undefined && --this.#attempts < 0) return end;
    const steps = this.#steps;
    for (; step < steps.length; step++) {
      const wanted = steps[step]!;
      if (wanted === star || wanted === doubleStar) {
        if (step === steps.length - 1)
          return wanted === star && path.indexOf("/", at) >= 0 ? mismatched : matched;
        if (wanted === doubleStar || steps[step + 1] !== "/") {
          if (next) return next[at] as Outcome;
          return wanted === star ? this.#star(step, path, at) : this.#doubleStar(step, path, at);
        }
        // Before a `/` a star has only one place to end.
        at = path.indexOf("/", at);
        if (at < 0) return mismatched;
      } else if (typeof wanted === "string") {
        if (!path.startsWith(wanted, at)) {
          const rest = path.length - at;
          return rest < wanted.length && wanted.startsWith(path.slice(at)) ? end : mismatched;
        }
        at += wanted.length;
      } else {
        if (at >= path.length) return end;
        const length = characterLength(path, at);
        const character = path.slice(at, at + length);
        if (wanted === anyCharacter ? character === "/" : !isIn(wanted, character))
          return mismatched;
        at += length;
      }
    }
    return at >= path.length ? matched : mismatched;
  }

  #doubleStar(step: number, path: string, at: number): Outcome {
    if (this.#skipsLevels(step, path, at, undefined)) return matched;
    for (; at < path.length; at += characterLength(path, at)) {
      const outcome = this.#from(step + 1, path, at, undefined);
      if (outcome === matched || outcome === end) return outcome;
    }
    return end;
  }

  /** `a/**` + `/b` matches a/b: no level at all. */
  #skipsLevels(step: number, path: string, at: number, next: Uint8Array | undefined): boolean {
    return (
      this.#steps[step + 1] === "/" &&
      step + 2 < this.#steps.length &&
      this.#from(step + 2, path, at, next) === matched
    );
  }

  /**
   * Kopia looks whether the star has eaten a `/` one place too late: a star whose rest begins just behind a `/` crosses it, and
   * `/a*b` matches b in the directory ax.
   */
  #star(step: number, path: string, at: number): Outcome {
    let eaten = path[at];
    while (at < path.length) {
      const outcome = this.#from(step + 1, path, at, undefined);
      if (outcome !== mismatched) return outcome;
      if (eaten === "/") return nextLevel;
      eaten = path[at];
      at += characterLength(path, at);
    }
    return end;
  }

  /** Outcomes of the first star for each place, by those of the second, and so on: `#star` and `#doubleStar` as a table. */
  #solve(path: string): Uint8Array {
    let next = noOutcomes;
    for (const step of this.#loops.toReversed()) {
      const isDouble = this.#steps[step] === doubleStar;
      const outcomes = new Uint8Array(path.length + 1);
      // Where the star began before this place and has come here.
      const arrived = new Uint8Array(path.length + 1).fill(end);
      outcomes[path.length] =
        isDouble && this.#skipsLevels(step, path, path.length, next) ? matched : end;
      for (let at = path.length - 1; at >= 0; at--) {
        const outcome = this.#from(step + 1, path, at, next);
        const further = arrived[at + characterLength(path, at)]!;
        if (isDouble) {
          arrived[at] = outcome === matched || outcome === end ? outcome : further;
          const skips = this.#skipsLevels(step, path, at, next);
          outcomes[at] = skips ? matched : arrived[at]!;
        } else if (outcome !== mismatched) {
          arrived[at] = outcome;
          outcomes[at] = outcome;
        } else {
          arrived[at] = path[at - 1] === "/" ? nextLevel : further;
          outcomes[at] = path[at] === "/" ? nextLevel : further;
        }
      }
      next = outcomes;
    }
    return next;
  }
}

/** Neighbouring characters as one text; `/` stays alone, stars look for it. */
function joined(steps: readonly Step[]): Step[] {
  const all: Step[] = [];
  for (const step of steps) {
    const last = all.at(-1);
    if (typeof step === "string" && typeof last === "string" && step !== "/" && last !== "/")
      all[all.length - 1] = last + step;
    else all.push(step);
  }
  return all;
}

/** Of rules `name`, `*name` and `*`, at any depth; undefined for others. */
function endingOf(steps: readonly Step[]): string | undefined {
  const [first, second, third, fourth, ...more] = steps[0] === "/" ? steps.slice(1) : steps;
  if (first !== doubleStar || second !== "/" || more.length > 0) return undefined;
  if (typeof third === "string" && fourth === undefined) return `/${third}`;
  if (third === star && (fourth === undefined || typeof fourth === "string")) return fourth ?? "";
  return undefined;
}

function isIn({ classes: named, isNegated, ranges }: CharacterSet, character: string): boolean {
  const code = character.codePointAt(0)!;
  for (const [from, to] of ranges)
    if (code >= from.codePointAt(0)! && code <= to.codePointAt(0)!) return !isNegated;
  for (const each of named) if (each.test(character)) return !isNegated;
  return isNegated;
}

function characterLength(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code < 0xd800 || code > 0xdbff) return 1;
  const low = text.charCodeAt(at + 1);
  return low >= 0xdc00 && low <= 0xdfff ? 2 : 1;
}
