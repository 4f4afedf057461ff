/**
 * What a node agent can do next about one DataUpload or DataDownload.
 * Proof: test/node-agent/decide.test.ts.
 * @module
 */
import type { DataPathProgress } from "../mover/index.ts";
import type { Ending } from "./transfer.ts";

/** An {@link Ending} before it is known who wrote it, and when. */
export type Verdict = Omit<Ending, "by" | "atMs">;

export type Action =
  | { readonly do: "nothing" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "addFinalizer" }
  | { readonly do: "removeFinalizer" }
  | { readonly do: "accept" }
  /** Make the objects of the exposer, or what is missing of them. */
  | { readonly do: "expose" }
  /** The hosting pod runs here: Prepared. */
  | { readonly do: "prepare" }
  | { readonly do: "start" }
  | { readonly do: "mirrorProgress"; readonly progress: DataPathProgress }
  /** Set `spec.cancel`. */
  | { readonly do: "requestCancel"; readonly message: string }
  /** Canceling: the mover sees `spec.cancel` itself. */
  | { readonly do: "cancelMover" }
  /** Nothing was made yet: the final phase at once. */
  | { readonly do: "refuse"; readonly verdict: Verdict }
  /** Note how it ends, then clean up. */
  | {
      readonly do: "end";
      readonly verdict: Verdict;
      /** Add what the exposer finds to the message. */
      readonly diagnose?: boolean;
    }
  /** Rebind what was restored, clean up, write the final phase. */
  | { readonly do: "finish"; readonly ending: Ending; readonly overdue: boolean }
  /** Make the hosting pod again. `podUid` is the one that ended. */
  | {
      readonly do: "resume";
      readonly count: number;
      readonly cause: string;
      readonly podUid?: string | undefined;
    }
  /** Remove the pod that ended, so that another one can have its name. */
  | { readonly do: "removePod"; readonly force: boolean }
  /** The new pod runs here. */
  | { readonly do: "takeResumed" }
  /** Be in charge instead of an agent that is gone, with nothing else changed. */
  | { readonly do: "adopt" }
  | { readonly do: "noteCancelSeen" }
  | { readonly do: "noteOwnerLost" }
  | { readonly do: "forgetOwnerLost" };

export const nothing: Action = { do: "nothing" };
export const wait = (ms: number): Action => ({ do: "wait", ms });
