/**
 * Every row of the state machine is one branch of `decideTransfer`; tests are named after the row of the phase table (from → to)
 * or of the conformance list.
 */
import { describe, expect, it } from "vitest";
import { decideTransfer, type World } from "../../src/node-agent/decide.ts";
import type { Transfer, TransferKind } from "../../src/node-agent/transfer.ts";
import {
  backedUp,
  endedPod,
  type Given,
  minute,
  restored,
  runningPod,
  settings,
  snapshotID,
  t0,
  transfer,
  world,
} from "./objects.ts";

const kinds = ["DataUpload", "DataDownload"] satisfies TransferKind[];
const decide = (
  seen: Transfer,
  around: World = world(),
  nowMs = t0,
  bounds: Partial<typeof settings> = {},
) => decideTransfer(seen, around, nowMs, { ...settings, ...bounds });
const ended = (phase: string, message?: string) => ({
  do: "end",
  verdict: { phase, ...(message !== undefined && { message }) },
});

describe.each(kinds)("%s, which agent acts upon it", (kind) => {
  it.each(["acme", "velero", ""])("row 27: data mover %j is left alone", (dataMover) => {
    for (const phase of ["", "Accepted", "InProgress", "Completed"])
      expect(
        decide(transfer(kind, { dataMover, phase, finalizer: phase === "Completed" })),
      ).toEqual({ do: "nothing" });
  });

  it("takes over Velero's names with the flag, and no others", () => {
    const bounds = { takeOverVelero: true };
    for (const dataMover of ["", "velero"])
      expect(decide(transfer(kind, { dataMover }), world(), t0, bounds).do).toBe("accept");
    const acme = transfer(kind, { dataMover: "acme", finalizer: false });
    expect(decide(acme, world(), t0, bounds).do).toBe("nothing");
  });

  it("row 9: (none) → -: the finalizer comes first", () => {
    for (const phase of ["", "Accepted", "Prepared", "InProgress", "Canceling"])
      expect(decide(transfer(kind, { phase, finalizer: false })).do).toBe("addFinalizer");
  });

  it("Completed / Failed / Canceled → -: only the finalizer is taken off", () => {
    for (const phase of ["Completed", "Failed", "Canceled"]) {
      expect(decide(transfer(kind, { phase })).do).toBe("removeFinalizer");
      expect(decide(transfer(kind, { phase, finalizer: false })).do).toBe("nothing");
    }
  });

  it("row 36: a final phase with a cancel stays", () => {
    for (const phase of ["Completed", "Failed", "Canceled"])
      expect(decide(transfer(kind, { phase, cancel: true, finalizer: false })).do).toBe("nothing");
  });
});

describe.each(kinds)("%s, New", (kind) => {
  it("New → Accepted", () => {
    expect(decide(transfer(kind))).toEqual({ do: "accept" });
    expect(decide(transfer(kind, { phase: "New" }))).toEqual({ do: "accept" });
  });

  it("row 31: New → Canceled on cancel, at once", () => {
    const verdict = { phase: "Canceled" };
    expect(decide(transfer(kind, { cancel: true }))).toEqual({ do: "refuse", verdict });
  });

  it("row 37: New and deleted: cancel first", () => {
    expect(decide(transfer(kind, { deleting: true }))).toEqual({
      do: "requestCancel",
      message: `Cancel ${kind.toLowerCase()} because it is being deleted`,
    });
  });

  it("row 21: the prepare queue is full", () => {
    const bounds = { prepareQueueLength: 2 };
    const full = decide(transfer(kind), world({ exposing: 2 }), t0, bounds);
    expect(full).toEqual({ do: "wait", ms: 5_000 });
    expect(decide(transfer(kind), world({ exposing: 1 }), t0, bounds).do).toBe("accept");
    expect(decide(transfer(kind), world({ exposing: 200 })).do).toBe("accept");
  });
});

describe("New, what only one kind knows", () => {
  it("row 26: snapshotType Foo → Failed", () => {
    expect(decide(transfer("DataUpload", { snapshotType: "Foo" }))).toEqual({
      do: "refuse",
      verdict: {
        phase: "Failed",
        message: "not exist type of exposer: Foo type of snapshot exposer is not exist",
      },
    });
  });

  it("row 79: a DataDownload waits for its claim", () => {
    const missing = decide(transfer("DataDownload"), world({ targetClaim: false }));
    expect(missing).toEqual({ do: "wait", ms: 5_000 });
  });

  it("2.2 nodeOS: no such node → Failed", () => {
    const windows = transfer("DataDownload", { nodeOS: "windows" });
    expect(decide(windows)).toEqual({
      do: "refuse",
      verdict: {
        phase: "Failed",
        message: "no appropriate node to run datadownload velero/b-1",
      },
    });
    expect(decide(windows, world({ nodeOSes: new Set() })).do).toBe("wait");
    const both = world({ nodeOSes: new Set(["linux", "windows"]) });
    expect(decide(windows, both).do).toBe("accept");
  });
});

describe.each(kinds)("%s, Accepted", (kind) => {
  const accepted = (given: Given = {}) =>
    transfer(kind, { phase: "Accepted", acceptedBy: "a", acceptedAtMs: t0, ...given });

  it("Accepted → (Expose runs), by the agent that accepted, again after a restart", () => {
    expect(decide(accepted()).do).toBe("expose");
    expect(decide(accepted({ acceptedBy: "b" })).do).toBe("nothing");
  });

  it("row 18: Accepted → Prepared, by the agent on the pod's node", () => {
    const here = world({ pod: runningPod("a") });
    expect(decide(accepted({ acceptedBy: "b" }), here).do).toBe("prepare");
    expect(decide(accepted(), here).do).toBe("prepare");
    expect(decide(accepted(), world({ pod: runningPod("b") })).do).toBe("expose");
    const pending = world({ pod: { ...runningPod("a"), running: false } });
    expect(decide(accepted({ acceptedBy: "b" }), pending).do).toBe("nothing");
  });

  it("rows 42, 43: Accepted → Canceled when the pod can never start", () => {
    const short = kind === "DataUpload" ? "du" : "datadownload";
    expect(decide(accepted(), world({ abnormal: "Pod is in abnormal state [Failed]" }))).toEqual(
      ended(
        "Canceled",
        `found a ${short} velero/b-1 with expose error: Pod is in abnormal state [Failed]. mark it as cancel`,
      ),
    );
  });

  it("Accepted → (spec.cancel=true) by the agent of the pod's node", () => {
    const abnormal = world({ pod: { ...runningPod("a"), running: false }, abnormal: "X" });
    expect(decide(accepted({ acceptedBy: "b" }), abnormal)).toEqual({
      do: "requestCancel",
      message: `Cancel ${kind.toLowerCase()} because the exposing pod velero/b-1 is in abnormal status for reason X`,
    });
    expect(decide(accepted({ acceptedBy: "b", cancel: true }), abnormal).do).toBe("nothing");
  });

  it("row 40: Accepted → Failed at the prepare timeout, with a diagnosis", () => {
    expect(decide(accepted(), world(), t0 + 30 * minute - 1).do).toBe("expose");
    expect(decide(accepted(), world(), t0 + 30 * minute)).toEqual({
      ...ended(
        "Failed",
        `timeout on preparing data ${kind === "DataUpload" ? "upload" : "download"}`,
      ),
      diagnose: true,
    });
  });

  it("row 32: Accepted → Canceled on cancel, by the agent in charge", () => {
    expect(decide(accepted({ cancel: true }))).toEqual(ended("Canceled"));
    expect(decide(accepted({ cancel: true, acceptedBy: "b" })).do).toBe("nothing");
    // Also where the pod came up in the meantime.
    const here = world({ pod: runningPod("a") });
    expect(decide(accepted({ cancel: true }), here)).toEqual(ended("Canceled"));
    expect(decide(accepted({ cancel: true, acceptedBy: "b" }), here).do).toBe("nothing");
  });

  it("row 37: deleted: cancel first", () => {
    expect(decide(accepted({ deleting: true })).do).toBe("requestCancel");
    expect(decide(accepted({ deleting: true, cancel: true })).do).toBe("end");
  });
});

describe.each(kinds)("%s, Prepared", (kind) => {
  const prepared = (given: Given = {}) =>
    transfer(kind, { phase: "Prepared", acceptedBy: "b", acceptedAtMs: t0, node: "a", ...given });
  const here = (given: Partial<World> = {}) => world({ pod: runningPod("a"), ...given });

  it("Prepared → InProgress, by status.node only", () => {
    expect(decide(prepared(), here()).do).toBe("start");
    expect(decide(prepared({ node: "b" }), here()).do).toBe("nothing");
  });

  it("row 19: Prepared → Prepared while the node is busy, without a limit of time", () => {
    const later = t0 + 999 * minute;
    expect(decide(prepared(), here({ running: 1 }), later)).toEqual({ do: "wait", ms: 5_000 });
    expect(decide(prepared(), here({ running: 1 }), t0, { concurrency: 2 }).do).toBe("start");
  });

  it("row 33: Prepared → Canceled on cancel", () => {
    expect(decide(prepared({ cancel: true }), here())).toEqual(ended("Canceled"));
    expect(decide(prepared({ cancel: true, node: "b" }), here()).do).toBe("nothing");
  });

  it("row 37: deleted: cancel first", () => {
    expect(decide(prepared({ deleting: true }), here()).do).toBe("requestCancel");
  });

  it("a pod that is gone before it started is made again", () => {
    expect(decide(prepared(), world())).toMatchObject({ do: "resume", count: 1 });
  });
});

describe.each(kinds)("%s, InProgress", (kind) => {
  const inProgress = (given: Given = {}) =>
    transfer(kind, { phase: "InProgress", node: "a", startedAtMs: t0, ...given });
  const succeeded = kind === "DataUpload" ? backedUp : restored;
  const path = kind === "DataUpload" ? "data path backup failed" : "data path restore failed";

  it("InProgress → InProgress: progress is mirrored when it is new", () => {
    const told = { progress: { totalBytes: 10, doneBytes: 3 } };
    const around = world({ pod: runningPod(), told });
    expect(decide(inProgress(), around)).toEqual({ do: "mirrorProgress", progress: told.progress });
    const seen = { ...inProgress(), progress: told.progress };
    expect(decide(seen, around).do).toBe("wait");
  });

  it("InProgress → Canceling on cancel with a live data path", () => {
    expect(decide(inProgress({ cancel: true }), world({ pod: runningPod() })).do).toBe(
      "cancelMover",
    );
    expect(decide(inProgress({ cancel: true, node: "b" })).do).toBe("nothing");
  });

  it("InProgress → Canceled on cancel without a data path", () => {
    expect(decide(inProgress({ cancel: true }), world())).toEqual(ended("Canceled"));
  });

  it("row 22: InProgress → Completed with the mover's result", () => {
    const action = decide(inProgress(), world({ pod: endedPod(succeeded) }));
    expect(action).toMatchObject({ do: "end", verdict: { phase: "Completed", totalBytes: 100 } });
    if (kind === "DataUpload")
      expect(action).toMatchObject({
        verdict: { snapshotID, path: "/uid-1", incrementalBytes: 40, message: undefined },
      });
  });

  it("row 51: a result told before the pod was gone counts", () => {
    const told = { outcome: succeeded };
    expect(decide(inProgress(), world({ told }))).toMatchObject({
      do: "end",
      verdict: { phase: "Completed" },
    });
  });

  it("any non-final → Failed with the mover's message and its partial snapshot", () => {
    const outcome = { outcome: "failed", message: "cannot read x", snapshotID } as const;
    expect(decide(inProgress(), world({ pod: endedPod(outcome) }))).toEqual({
      do: "end",
      verdict: { phase: "Failed", message: `${path}: cannot read x`, snapshotID },
    });
  });

  it("InProgress → Canceled when the data path reports it", () => {
    const outcome = { outcome: "canceled", message: "data path is canceled" } as const;
    expect(decide(inProgress(), world({ pod: endedPod(outcome) }))).toEqual(ended("Canceled"));
  });

  it("row 50: a killed mover is started again, up to the limit, then Failed with the cause", () => {
    const outcome = { outcome: "interrupted", message: "exit code 137" } as const;
    const around = world({ pod: endedPod(outcome) });
    expect(decide(inProgress(), around)).toEqual({
      do: "resume",
      count: 1,
      cause: "exit code 137",
      podUid: "pod-1",
    });
    const resume = { count: 3, cause: "x", atMs: t0, pending: false };
    expect(decide(inProgress({ resume }), around)).toEqual(
      ended("Failed", `${path}: exit code 137; the hosting pod was made again 3 times`),
    );
    expect(decide(inProgress({ cancel: true }), around)).toEqual(ended("Canceled"));
    expect(decide(inProgress(), around, t0, { moverRestartLimit: 0 }).do).toBe("end");
  });

  it("row 37: deleted: spec.cancel tells the mover", () => {
    const around = world({ pod: runningPod() });
    expect(decide(inProgress({ deleting: true }), around).do).toBe("requestCancel");
    expect(decide(inProgress({ deleting: true, cancel: true }), around).do).toBe("cancelMover");
  });
});

describe.each(kinds)("%s, a hosting pod made again", (kind) => {
  const resume = { count: 1, cause: "killed", podUid: "pod-1", atMs: t0, pending: true };
  const resumed = (given: Given = {}) =>
    transfer(kind, { phase: "InProgress", node: "a", startedAtMs: t0, resume, ...given });

  it("the old one goes first, whatever it says; by force only when nobody is there to end it", () => {
    const pod = { ...runningPod("b", "pod-1"), deletedAtMs: t0 };
    const removal = (nowMs: number, agents: string[]) =>
      decide(resumed(), world({ pod, agents: new Set(agents) }), nowMs);
    expect(removal(t0 + 29_999, ["a"])).toEqual({ do: "removePod", force: false });
    expect(removal(t0 + 30_000, ["a"])).toEqual({ do: "removePod", force: true });
    expect(removal(t0 + 30_000, ["a", "b"])).toEqual({ do: "removePod", force: false });
    const young = world({ pod: runningPod("b", "pod-1"), agents: new Set(["a"]) });
    expect(decide(resumed(), young)).toEqual({ do: "removePod", force: false });
  });

  it("then a new one is made", () => {
    expect(decide(resumed(), world()).do).toBe("expose");
    const pending = world({ pod: { uid: "pod-2", running: false } });
    expect(decide(resumed(), pending).do).toBe("expose");
  });

  it("the agent of its node takes it", () => {
    expect(decide(resumed(), world({ pod: runningPod("a", "pod-2") })).do).toBe("takeResumed");
    const elsewhere = world({ pod: runningPod("b", "pod-2"), self: "b" });
    expect(decide(resumed(), elsewhere).do).toBe("takeResumed");
    expect(decide(resumed(), world({ pod: runningPod("b", "pod-2") })).do).toBe("expose");
  });

  it("also when it has ended already", () => {
    const outcome = { outcome: "failed", message: "x" } as const;
    expect(decide(resumed(), world({ pod: endedPod(outcome, "a", "pod-2") })).do).toBe(
      "takeResumed",
    );
  });

  it("in bounded time", () => {
    expect(decide(resumed(), world(), t0 + 30 * minute)).toMatchObject({
      do: "end",
      diagnose: true,
      verdict: { phase: "Failed", message: expect.stringContaining("killed") },
    });
  });

  it("a pod that can never start is the end", () => {
    const pod = { uid: "pod-2", running: false };
    expect(decide(resumed(), world({ pod, abnormal: "no image" }))).toMatchObject({
      do: "end",
      verdict: { phase: "Failed", message: expect.stringContaining("no image") },
    });
  });

  it("a cancel ends it", () => {
    expect(decide(resumed({ cancel: true }), world())).toEqual(ended("Canceled"));
    const elsewhere = world({ pod: runningPod("b", "pod-2"), self: "b" });
    expect(decide(resumed({ cancel: true }), elsewhere).do).toBe("nothing");
    expect(decide(resumed({ deleting: true })).do).toBe("requestCancel");
  });
});

describe.each(kinds)("%s, Canceling", (kind) => {
  const canceling = (given: Given = {}) =>
    transfer(kind, {
      phase: "Canceling",
      cancel: true,
      node: "a",
      startedAtMs: t0,
      cancelSeenAtMs: t0,
      ...given,
    });
  const succeeded = kind === "DataUpload" ? backedUp : restored;

  it("row 34: Canceling → Canceled when the data path reports it", () => {
    const outcome = { outcome: "canceled", message: "data path is canceled" } as const;
    expect(decide(canceling(), world({ pod: endedPod(outcome) }))).toEqual(ended("Canceled"));
  });

  it("row 35: Canceling → Completed when the data path was faster, never Failed", () => {
    expect(decide(canceling(), world({ pod: endedPod(succeeded) }))).toMatchObject({
      verdict: { phase: "Completed" },
    });
    const outcome = { outcome: "failed", message: "x" } as const;
    expect(decide(canceling(), world({ pod: endedPod(outcome) }))).toMatchObject({
      verdict: { phase: "Canceled" },
    });
    const killed = { outcome: "interrupted", message: "x" } as const;
    expect(decide(canceling(), world({ pod: endedPod(killed) }))).toEqual(ended("Canceled"));
  });

  it("Canceling → Canceled after 5 minutes, counted on the object", () => {
    const around = world({ pod: runningPod() });
    expect(decide(canceling(), around, t0 + 5 * minute - 1)).toEqual({ do: "wait", ms: 1 });
    expect(decide(canceling(), around, t0 + 5 * minute)).toEqual(ended("Canceled"));
    const { cancelSeenAtMs, ...unknown } = canceling();
    expect(decide(unknown, around).do).toBe("noteCancelSeen");
  });

  it("Canceling → Canceled when the pod is gone", () => {
    expect(decide(canceling(), world())).toEqual(ended("Canceled"));
  });
});

describe.each(kinds)("%s, with its end noted", (kind) => {
  const ending = { phase: "Failed", message: "x", by: "a", atMs: t0 } as const;

  it("whatever the phase: only the noted agent goes on, and only with that", () => {
    for (const phase of ["Accepted", "Prepared", "InProgress", "Canceling"]) {
      const seen = transfer(kind, { phase, node: "b", acceptedBy: "b", ending, cancel: true });
      expect(decide(seen, world({ pod: runningPod() }))).toEqual({
        do: "finish",
        ending,
        overdue: false,
      });
      expect(decide(seen, world({ self: "b", pod: runningPod("b") })).do).toBe("nothing");
    }
  });

  it("clean-up is bounded", () => {
    const seen = transfer(kind, { phase: "InProgress", ending });
    expect(decide(seen, world(), t0 + 5 * minute)).toMatchObject({ overdue: true });
  });

  it("a restore may take as long to rebind as to prepare", () => {
    const completed = { ...ending, phase: "Completed" } as const;
    const seen = transfer(kind, { phase: "InProgress", ending: completed });
    const overdue = kind === "DataUpload";
    expect(decide(seen, world(), t0 + 5 * minute)).toMatchObject({ overdue });
    expect(decide(seen, world(), t0 + 30 * minute)).toMatchObject({ overdue: true });
  });
});
