export { type ChainLine, type ExplainedProblem, type Explanation, explain } from "./explain.ts";
export { explanationText } from "./explanation-text.ts";
export { type GatherOptions, gather } from "./gather.ts";
export type { KnownProblem } from "./known-problem.ts";
export { knownProblems } from "./known-problems.ts";
export {
  type GatherClient,
  type MustGatherOptions,
  mustGather,
  mustGatherLimits,
  mustGatherTar,
} from "./must-gather.ts";
export { createRedactor, type Redactor } from "./redact.ts";
export type { Role, Seen, SeenObject } from "./seen.ts";
export type { Verdict } from "./state.ts";
export { parseSubject, type SubjectRef, subjectKinds } from "./subjects.ts";
