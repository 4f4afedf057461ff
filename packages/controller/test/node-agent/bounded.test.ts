/**
 * From any state, in any world that stays as it is, with any agents that live: an object reaches a final phase in bounded time, or
 * waits for one of the three things that may take any time (a place in a queue, the claim to restore into, a mover at work), and a
 * cancel bounds these too. A final phase never changes, and comes after the clean-up.
 *
 * Decisions and transitions are the real ones; what exposers and pods would do is drawn at random, and time is a number.
 */
import { type DataMovementPhase, dataMovementPhases, isFinalPhase } from "@dm/crds";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isBackup, isPodVolume } from "../../src/mover/index.ts";
import type { Action } from "../../src/node-agent/action.ts";
import type { World } from "../../src/node-agent/decide.ts";
import { decideTransfer } from "../../src/node-agent/decide.ts";
import { decidePatrol } from "../../src/node-agent/decide-patrol.ts";
import type { HostingPodState } from "../../src/node-agent/hosting-pod-state.ts";
import {
  notes,
  type TransferKind,
  type TransferObject,
  timestamp,
  transferKinds,
  viewTransfer,
} from "../../src/node-agent/transfer.ts";
import * as transitions from "../../src/node-agent/transitions.ts";
import type { ClientPod } from "../../src/pod-volume/client-pod.ts";
import {
  backedUp,
  endedPod,
  type Given,
  minute,
  restored,
  runningPod,
  settings,
  t0,
  transferObject,
} from "./objects.ts";

interface Scene {
  readonly kind: TransferKind;
  readonly given: Given;
  readonly agents: ReadonlySet<string>;
  /** What every new hosting pod does. */
  readonly podKind: PodKind;
  readonly podNode: string;
  readonly exposes: boolean;
  readonly cleansUp: boolean;
  readonly rebinds: boolean;
  readonly abnormal: boolean;
  readonly busy: boolean;
  readonly targetClaim: boolean;
  /** Of the pod whose volume it is. */
  readonly client: ClientPod["state"];
  readonly podAtFirst: boolean;
}
type PodKind = "never starts" | "runs" | "succeeds" | "fails" | "is killed" | "is canceled";

/** Of what may follow one upon the other: lost, cancel waited for, prepared again four times, cleaned up. */
const boundMs =
  settings.ownerLostMs * 8 +
  settings.runningCancelTimeoutMs +
  settings.prepareTimeoutMs * 8 +
  settings.cleanUpTimeoutMs * 2 +
  60 * minute;

class Model {
  object: TransferObject;
  nowMs = t0;
  pod: HostingPodState | undefined;
  cleaned = false;
  pods = 0;
  readonly problems: string[] = [];
  readonly scene: Scene;

  constructor(scene: Scene) {
    this.scene = scene;
    this.object = transferObject(scene.kind, scene.given);
    if (scene.podAtFirst) this.makePod();
  }

  get phase(): DataMovementPhase {
    return viewTransfer(this.scene.kind, this.object).phase;
  }

  world(self: string): World {
    const { scene, pod } = this;
    return {
      self,
      exposing: scene.busy ? 5 : 0,
      running: scene.busy ? 5 : 0,
      targetClaim: scene.targetClaim,
      client: this.client(self),
      nodeOSes: new Set(["linux"]),
      pod,
      abnormal: scene.abnormal && pod && !pod.running ? "no image" : undefined,
      agents: scene.agents,
    };
  }

  /** While it waits for a pod, the pod's own agent sees it, and the one that looks for pods without an agent. */
  client(self: string): ClientPod | undefined {
    const { kind, client: state, podNode, agents } = this.scene;
    if (!isPodVolume(kind)) return undefined;
    const isNew = this.phase === "New";
    const node = isNew ? podNode : viewTransfer(kind, this.object).node;
    const client = state === "over" ? { state } : { state, node };
    return !isNew || node === self || self === [...agents].sort()[0] ? client : undefined;
  }

  /** One round of every agent: its own work until it waits, then its patrol. */
  round(): void {
    for (const self of this.scene.agents) {
      this.work(self);
      const seen = viewTransfer(this.scene.kind, this.object);
      this.perform(self, decidePatrol(seen, this.world(self), this.nowMs, settings));
      this.work(self);
    }
    this.nowMs += 10_000;
  }

  work(self: string): void {
    for (let step = 0; step < 20; step++) {
      const seen = viewTransfer(this.scene.kind, this.object);
      const bounds = { ...settings, prepareQueueLength: 5 };
      const world = this.world(self);
      // Agents look at pods of their own node.
      const isElsewhere = seen.phase === "New" && world.client?.node !== self;
      const known = isElsewhere ? { ...world, client: undefined } : world;
      const action = decideTransfer(seen, known, this.nowMs, bounds);
      if (!this.perform(self, action)) return;
    }
    this.problems.push("went in a circle");
  }

  /** Whether there is more to do at once. */
  perform(self: string, action: Action): boolean {
    const { scene, object, nowMs } = this;
    const before = this.phase;
    if (isFinalPhase(before) && action.do !== "nothing" && action.do !== "removeFinalizer")
      this.problems.push(`${action.do} in ${before}`);
    switch (action.do) {
      case "addFinalizer":
        this.object = transitions.withFinalizer(object);
        return true;
      case "removeFinalizer":
        this.object = transitions.withoutFinalizer(object);
        return true;
      case "accept":
        this.object = transitions.accepted(object, self, nowMs);
        return true;
      case "expose":
        if (scene.exposes && this.pod === undefined) this.makePod();
        return false;
      case "prepare":
        this.object = transitions.prepared(object, self);
        return true;
      case "start":
        this.object = transitions.started(scene.kind, object, "linux", nowMs);
        return true;
      case "requestCancel":
        this.object = transitions.cancelRequested(object, action.message);
        return true;
      case "cancelMover":
        this.object = transitions.canceling(object, nowMs);
        return true;
      case "refuse":
        if (before !== "New") this.problems.push(`refused in ${before}`);
        this.object = transitions.ended(scene.kind, object, action.verdict, nowMs);
        return true;
      case "end":
        this.object = transitions.withEnding(object, { ...action.verdict, by: self, atMs: nowMs });
        return true;
      case "finish":
        return this.finish(self, action);
      case "resume": {
        const { count, cause, podUid } = action;
        const resume = { count, cause, podUid, atMs: nowMs, pending: true };
        this.object = transitions.withResume(object, resume, self);
        return true;
      }
      case "removePod":
        // A pod whose kubelet is gone stays until it is forced.
        if (action.force || scene.agents.has(this.pod?.node ?? "")) this.pod = undefined;
        else if (this.pod) this.pod = { ...this.pod, deletedAtMs: this.pod.deletedAtMs ?? nowMs };
        return this.pod === undefined;
      case "takeResumed": {
        const { resume } = viewTransfer(scene.kind, object);
        if (resume) this.object = transitions.resumed(object, resume, self);
        return true;
      }
      case "adopt": {
        const { ending } = viewTransfer(scene.kind, object);
        this.object = transitions.adopted(object, ending, self, nowMs);
        return true;
      }
      case "noteCancelSeen":
        this.object = transitions.withNote(object, notes.cancelSeen, timestamp(nowMs));
        return true;
      case "noteOwnerLost":
        this.object = transitions.withNote(object, notes.ownerLost, timestamp(nowMs));
        return true;
      case "forgetOwnerLost":
        this.object = transitions.withoutNote(object, notes.ownerLost);
        return true;
      default:
        return false;
    }
  }

  finish(self: string, { ending, overdue }: Extract<Action, { readonly do: "finish" }>): boolean {
    const { scene, nowMs } = this;
    if (scene.kind === "DataDownload" && ending.phase === "Completed" && !scene.rebinds) {
      if (!overdue) return false;
      const failed = { phase: "Failed", message: "not rebound", by: self, atMs: nowMs } as const;
      this.object = transitions.withEnding(this.object, failed);
      return true;
    }
    this.cleaned = true;
    if (!scene.cleansUp && !overdue) return false;
    this.pod = undefined;
    this.object = transitions.ended(scene.kind, this.object, ending, nowMs);
    return true;
  }

  /** That of another pod's volume is the object's. */
  get podNode(): string {
    const { kind, podNode } = this.scene;
    return isPodVolume(kind) ? (viewTransfer(kind, this.object).node ?? podNode) : podNode;
  }

  makePod(): void {
    const uid = `pod-${++this.pods}`;
    const { podKind, kind } = this.scene;
    const podNode = this.podNode;
    const ended = (outcome: HostingPodState["outcome"]) => endedPod(outcome!, podNode, uid);
    const done = isBackup(kind) ? backedUp : restored;
    const pods: Record<PodKind, HostingPodState> = {
      "never starts": { uid, running: false },
      runs: runningPod(podNode, uid),
      succeeds: ended(done),
      fails: ended({ outcome: "failed", message: "x" }),
      "is killed": ended({ outcome: "interrupted", message: "137" }),
      "is canceled": ended({ outcome: "canceled", message: "data path is canceled" }),
    };
    this.pod = pods[podKind];
  }

  /** May last as long as it likes. */
  mayWait(): boolean {
    const { scene, phase, pod } = this;
    const seen = viewTransfer(scene.kind, this.object);
    if (seen.cancel || seen.deleting || seen.ending) return false;
    if (phase === "New" && scene.kind === "PodVolumeRestore" && scene.client === "starting")
      return true;
    if (phase === "New") return scene.busy || (scene.kind === "DataDownload" && !scene.targetClaim);
    if (phase === "Prepared") return scene.busy && pod !== undefined;
    return phase === "InProgress" && pod?.running === true;
  }
}

const node = fc.constantFrom("a", "b", "gone");
const ago = fc.integer({ min: 0, max: 120 }).map((minutes) => t0 - minutes * minute);
const scenes: fc.Arbitrary<Scene> = fc.record({
  kind: fc.constantFrom<TransferKind>(...transferKinds),
  given: fc.record(
    {
      phase: fc.constantFrom(...dataMovementPhases, ""),
      cancel: fc.boolean(),
      deleting: fc.boolean(),
      finalizer: fc.boolean(),
      acceptedBy: node,
      acceptedAtMs: ago,
      node,
      cancelSeenAtMs: ago,
      ownerLostAtMs: ago,
      resume: fc.record({
        count: fc.integer({ min: 0, max: 4 }),
        cause: fc.constant("x"),
        podUid: fc.constantFrom("pod-1", "pod-0"),
        atMs: ago,
        pending: fc.boolean(),
      }),
      ending: fc.record({
        phase: fc.constantFrom("Completed" as const, "Failed" as const, "Canceled" as const),
        by: node,
        atMs: ago,
      }),
    },
    { requiredKeys: ["phase"] },
  ),
  agents: fc.constantFrom(new Set(["a"]), new Set(["a", "b"]), new Set(["b"])),
  podKind: fc.constantFrom<PodKind>(
    "never starts",
    "runs",
    "succeeds",
    "fails",
    "is killed",
    "is canceled",
  ),
  podNode: node,
  exposes: fc.boolean(),
  cleansUp: fc.boolean(),
  rebinds: fc.boolean(),
  abnormal: fc.boolean(),
  busy: fc.boolean(),
  targetClaim: fc.boolean(),
  client: fc.constantFrom<ClientPod["state"]>("starting", "waiting", "running", "over"),
  podAtFirst: fc.boolean(),
});

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const numRuns = process.env["DM_FULL"] ? 5_000 : 500;

describe(`any state in any world (seed ${seed})`, () => {
  it("ends in bounded time, or waits for what may take any time and then ends on cancel", () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const model = new Model(scene);
        const wasFinal = isFinalPhase(model.phase);
        let deadlineMs = t0 + boundMs;
        while (!isFinalPhase(model.phase) && model.nowMs < deadlineMs) {
          model.round();
          if (!model.mayWait() || model.nowMs < deadlineMs) continue;
          // What the server does when an item takes too long.
          model.object = transitions.cancelRequested(model.object, "Asynchronous action timed out");
          deadlineMs = model.nowMs + boundMs;
        }
        expect(model.problems).toEqual([]);
        expect(isFinalPhase(model.phase), `${model.phase} after ${model.nowMs - t0} ms`).toBe(true);
        if (wasFinal) return;
        // Nothing but New ends without a clean-up.
        expect(model.cleaned || ["", "New"].includes(scene.given.phase ?? "")).toBe(true);
        const last = model.object;
        for (let round = 0; round < 5; round++) model.round();
        expect(model.object).toEqual(last);
      }),
      { seed, numRuns },
    );
  });
});
