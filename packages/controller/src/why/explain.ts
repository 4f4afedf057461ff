/**
 * Why an object does not go on, or has failed: the chain of objects that it depends on with what they say, the known problems that
 * fit, and what to do. Pure: from what was seen and the time.
 * Proof: test/why/explain.test.ts.
 * @module
 */
import { type Evidence, evidenceOf } from "./evidence.ts";
import { fits, type KnownProblem } from "./known-problem.ts";
import { knownProblems } from "./known-problems.ts";
import { type Role, type Seen, type SeenObject, subjectOf, titleOf } from "./seen.ts";
import { stateText, type Verdict, verdictOf, waitsFor } from "./state.ts";

export interface ExplainedProblem {
  readonly id: string;
  readonly title: string;
  readonly cause: string;
  readonly remedy: readonly string[];
  /** Which object says so, and its words. */
  readonly shownBy: readonly string[];
}

export interface ChainLine {
  readonly depth: number;
  readonly role: Role;
  readonly title: string;
  readonly state: string;
  /** Texts of its status, conditions, containers and warnings. */
  readonly says: readonly string[];
}

export interface Explanation {
  readonly subject: string;
  readonly verdict: Verdict;
  /** One sentence. */
  readonly summary: string;
  readonly problems: readonly ExplainedProblem[];
  readonly chain: readonly ChainLine[];
  readonly advice: readonly string[];
  readonly notRead: readonly string[];
}

/** Lines about one problem: of a hundred volumes that fail alike a few are enough. */
const mostShown = 5;
const longestShown = 600;

export function explain(seen: Seen, nowMs: number): Explanation {
  const subject = subjectOf(seen);
  const evidence = evidenceOf(seen);
  const verdict = wholeVerdict(seen);
  const isQuiet = verdict === "fine";
  // What went well needs no reason: only what its own status still says counts.
  const counted = isQuiet
    ? evidence.filter(({ isEvent, of }) => of === subject && !isEvent)
    : evidence.filter(
        // What was warned of on the way to where an object is well now is over.
        ({ isEvent, of }) =>
          concerns(of, subject) && !(isEvent && of !== subject && verdictOf(of) === "fine"),
      );
  const found = knownProblems
    .map((problem) => explained(problem, counted, isQuiet ? undefined : seen, nowMs))
    .filter((problem) => problem.shownBy.length > 0);
  const specific = found.filter(({ id }) => !generalIds.has(id));
  const problems = specific.length > 0 ? specific : found;
  return {
    subject: titleOf(subject),
    verdict,
    summary: summaryOf(subject, verdict, problems),
    problems,
    chain: chainOf(seen, evidence),
    advice: adviceOf(seen, verdict, problems),
    notRead: seen.notRead,
  };
}

const generalIds: ReadonlySet<string> = new Set(
  knownProblems.filter(({ isGeneral }) => isGeneral).map(({ id }) => id),
);

/** A claim, a schedule or an application is as well as what works for it. */
function wholeVerdict(seen: Seen): Verdict {
  const subject = subjectOf(seen);
  const own = verdictOf(subject);
  if (own !== "fine") return own;
  const parts =
    subject.kind === "PersistentVolumeClaim"
      ? seen.objects.filter(({ role }) => role === "transfer")
      : subject.kind === "DataProtectionApplication"
        ? seen.objects.filter(({ role }) => role === "location")
        : subject.kind === "Schedule"
          ? seen.objects.filter(({ role }) => role === "backup").slice(0, 1)
          : [];
  const verdicts = parts.map(verdictOf);
  if (verdicts.includes("failed")) return "failed";
  return verdicts.includes("waiting") ? "waiting" : "fine";
}

/** Objects that others have in common with the subject say nothing about it while they are well; nor do the Backups before it. */
function concerns(of: SeenObject, subject: SeenObject): boolean {
  if (of === subject) return true;
  if (of.role === "earlier" || of.role === "lease") return false;
  const isShared = ["server", "node agent", "node", "location", "repository"].includes(of.role);
  return !isShared || of.kind === "Pod" || verdictOf(of) !== "fine";
}

function explained(
  problem: KnownProblem,
  evidence: readonly Evidence[],
  seen: Seen | undefined,
  nowMs: number,
): ExplainedProblem {
  const said = evidence
    .filter((one) => fits(problem, one))
    .map(({ of, text }) => `${titleOf(of)}: ${excerpt(text)}`);
  const shown = seen === undefined ? [] : (problem.shows?.(seen, nowMs) ?? []);
  const all = [...new Set([...said, ...shown])];
  const more = all.length - mostShown;
  const { cause, id, remedy, title } = problem;
  return {
    id,
    title,
    cause,
    remedy,
    shownBy: more > 0 ? [...all.slice(0, mostShown), `and ${more} more`] : all,
  };
}

const excerpt = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > longestShown ? `${line.slice(0, longestShown)}…` : line;
};

function summaryOf(
  subject: SeenObject,
  verdict: Verdict,
  problems: readonly ExplainedProblem[],
): string {
  const title = titleOf(subject);
  const first = problems[0]?.title;
  switch (verdict) {
    case "absent":
      return `${title} is not there`;
    case "fine":
      return `${title} ${stateText(subject)}: nothing is wrong with it`;
    case "failed":
      return `${title} ${stateText(subject)}: ${first ?? "its own message is all that is known"}`;
    case "waiting":
      return `${title} ${stateText(subject)}. It waits for ${waitsFor(subject)}${first === undefined ? "; nothing was found that hinders it" : `: ${first}`}`;
  }
}

function chainOf(seen: Seen, evidence: readonly Evidence[]): ChainLine[] {
  return seen.objects.map((of) => ({
    depth: of.depth,
    role: of.role,
    title: titleOf(of),
    state: stateText(of),
    says: evidence.filter((one) => one.of === of).map(({ text }) => text),
  }));
}

function adviceOf(seen: Seen, verdict: Verdict, problems: readonly ExplainedProblem[]): string[] {
  const { namespace } = seen;
  if (verdict === "absent")
    return [`kubectl get ${subjectOf(seen).kind.toLowerCase()}s -A shows which there are`];
  const advice = problems.flatMap(({ remedy }) =>
    remedy.map((text) => text.replaceAll("<namespace>", namespace)),
  );
  if (verdict !== "fine" && problems.length === 0)
    advice.push(
      verdict === "waiting"
        ? "If it stays like this, look at the logs of the server and of the node agents"
        : "Look at the logs of the server and of the node agents of that time",
      `dm must-gather --namespace ${namespace} collects what somebody else needs to help`,
    );
  return [...new Set(advice)];
}
