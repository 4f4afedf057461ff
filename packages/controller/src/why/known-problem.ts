/**
 * What a known problem is: how it shows, why it comes, what to do. The page docs/guide/troubleshooting.md has a section for each.
 * Proof: test/why/known-problems.test.ts.
 * @module
 */
import type { Evidence } from "./evidence.ts";
import type { Seen } from "./seen.ts";

export interface KnownProblem {
  /** The anchor of its section in the page. */
  readonly id: string;
  /** Goes on after "is Failed:" or "waits:". */
  readonly title: string;
  /** Any of them in a status, condition, container or warning. */
  readonly texts?: readonly RegExp[] | undefined;
  /** Codes of errors, where a text names one. */
  readonly codes?: readonly string[] | undefined;
  /** What shows in the state of objects rather than in a text: lines that say so. */
  readonly shows?: ((seen: Seen, nowMs: number) => readonly string[]) | undefined;
  readonly cause: string;
  readonly remedy: readonly string[];
  /** Says less than another one that fits: told only when there is none. */
  readonly isGeneral?: boolean | undefined;
}

export function fits(problem: KnownProblem, { text }: Pick<Evidence, "text">): boolean {
  const { codes = [], texts = [] } = problem;
  return (
    texts.some((pattern) => pattern.test(text)) ||
    [...text.matchAll(/\bDM_[A-Z0-9_]+/g)].some(([code]) => codes.includes(code))
  );
}
