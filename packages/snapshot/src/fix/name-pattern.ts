/**
 * Patterns of base names, as Kopia's command line takes them: `*` any text, `?` one character, `[a-z]` and `[^a-z]` one of
 * a set, `\` before a character that stands for itself. Neither `*` nor `?` stands for a slash. Linear in the name, times the
 * pattern. Proof: test/name-pattern.test.ts.
 * @module
 */

/** One character of the name. */
type Step = (codePoint: number) => boolean;

const slash = 0x2f;

/** @throws {RangeError} when the pattern is none: a set that does not end, a backslash at the end */
export function compileNamePattern(pattern: string): (name: string) => boolean {
  const steps = parse(pattern);
  return (name) => matches(steps, Array.from(name, codePointOf));
}

function parse(pattern: string): (Step | "any")[] {
  const characters = [...pattern];
  const steps: (Step | "any")[] = [];
  let at = 0;
  const invalid = (): RangeError => new RangeError(`not a pattern of names: ${pattern}`);
  const next = (): string => {
    const character = characters[at++];
    if (character === undefined) throw invalid();
    return character;
  };
  /** A character of a set, where some must have a backslash. */
  const ofSet = (): number => {
    const character = next();
    if (character === "-" || character === "]") throw invalid();
    return codePointOf(character === "\\" ? next() : character);
  };
  const set = (): Step => {
    const isNegated = characters[at] === "^";
    if (isNegated) at += 1;
    const ranges: (readonly [number, number])[] = [];
    while (ranges.length === 0 || characters[at] !== "]") {
      const first = ofSet();
      let last = first;
      if (characters[at] === "-") {
        at += 1;
        last = ofSet();
      }
      ranges.push([first, last]);
    }
    at += 1;
    return (point) => ranges.some(([first, last]) => point >= first && point <= last) !== isNegated;
  };
  while (at < characters.length) {
    const character = next();
    if (character === "*") steps.push("any");
    else if (character === "?") steps.push((point) => point !== slash);
    else if (character === "[") steps.push(set());
    else {
      const wanted = codePointOf(character === "\\" ? next() : character);
      steps.push((point) => point === wanted);
    }
  }
  return steps;
}

/** Where a step fails, the last `*` takes one character more. */
function matches(steps: readonly (Step | "any")[], name: readonly number[]): boolean {
  let [step, at] = [0, 0];
  let [afterAny, taken] = [-1, 0];
  while (at < name.length || step < steps.length) {
    const current = steps[step];
    if (current === "any") {
      step += 1;
      [afterAny, taken] = [step, at];
    } else if (current !== undefined && at < name.length && current(name[at]!)) {
      step += 1;
      at += 1;
    } else {
      if (afterAny < 0 || taken >= name.length || name[taken] === slash) return false;
      taken += 1;
      [step, at] = [afterAny, taken];
    }
  }
  return true;
}

const codePointOf = (character: string): number => character.codePointAt(0)!;
