/** What agents do about the work of others: nothing while those live and keep their times, and in bounded time all of it. */
import { describe, expect, it } from "vitest";
import type { World } from "../../src/node-agent/decide.ts";
import { decidePatrol } from "../../src/node-agent/decide-patrol.ts";
import type { Transfer, TransferKind } from "../../src/node-agent/transfer.ts";
import {
  backedUp,
  endedPod,
  type Given,
  minute,
  restored,
  runningPod,
  settings,
  t0,
  transfer,
  world,
} from "./objects.ts";

const kinds = ["DataUpload", "DataDownload"] satisfies TransferKind[];
const decide = (seen: Transfer, around: World = world(), nowMs = t0) =>
  decidePatrol(seen, around, nowMs, settings);
const others = ["Accepted", "Prepared", "InProgress", "Canceling"];
const alone = (given: Partial<World> = {}) => world({ agents: new Set(["a"]), ...given });

describe.each(kinds)("%s of another agent", (kind) => {
  const ofOther = (phase: string, given: Given = {}) =>
    transfer(kind, {
      phase,
      acceptedBy: "b",
      acceptedAtMs: t0,
      ...(phase !== "Accepted" && { node: "b" }),
      ...given,
    });

  it.each(others)("%s: is left alone while that agent lives", (phase) => {
    expect(decide(ofOther(phase)).do).toBe("nothing");
  });

  it.each(others)("%s: its own work is not patrolled", (phase) => {
    const own = ofOther(phase, { acceptedBy: "a", node: "a" });
    expect(decide(own, alone(), t0 + 999 * minute).do).toBe("nothing");
  });

  it.each(others)("row 27: %s of data mover acme is left alone", (phase) => {
    const foreign = ofOther(phase, { dataMover: "acme", ownerLostAtMs: t0 });
    expect(decide(foreign, alone(), t0 + 999 * minute).do).toBe("nothing");
  });

  it("New belongs to all", () => {
    expect(decide(transfer(kind), alone(), t0 + 999 * minute).do).toBe("nothing");
  });

  it("a finalizer that was left is taken off", () => {
    expect(decide(ofOther("Completed")).do).toBe("removeFinalizer");
    expect(decide(ofOther("Completed", { finalizer: false })).do).toBe("nothing");
  });

  it.each(others)(
    "row 52: %s: a lost agent is noted first, and forgotten when it is back",
    (phase) => {
      expect(decide(ofOther(phase), alone()).do).toBe("noteOwnerLost");
      const noted = ofOther(phase, { ownerLostAtMs: t0 });
      expect(decide(noted, alone(), t0 + 5 * minute - 1).do).toBe("nothing");
      expect(decide(noted, world()).do).toBe("forgetOwnerLost");
    },
  );

  it("row 52: Accepted here, sent to a lost node: another pod is made after a while", () => {
    const own = (given: Given = {}) => ofOther("Accepted", { acceptedBy: "a", ...given });
    const pod = runningPod("b");
    expect(decide(own(), world({ pod })).do).toBe("nothing");
    expect(decide(own(), alone({ pod })).do).toBe("noteOwnerLost");
    const noted = own({ ownerLostAtMs: t0 });
    expect(decide(noted, world({ pod })).do).toBe("forgetOwnerLost");
    expect(decide(noted, alone({ pod }), t0 + 5 * minute - 1).do).toBe("nothing");
    const later = t0 + 5 * minute;
    expect(decide(noted, alone({ pod }), later)).toEqual({ do: "removePod", force: false });
    const stranded = alone({ pod: { ...pod, deletedAtMs: later - 30_000 } });
    expect(decide(noted, stranded, later)).toEqual({ do: "removePod", force: true });
  });

  it("row 52: Accepted: the next agent exposes", () => {
    const lost = ofOther("Accepted", { ownerLostAtMs: t0 });
    expect(decide(lost, alone(), t0 + 5 * minute).do).toBe("adopt");
  });

  it.each(["Prepared", "InProgress"])("row 52: %s: the mover is started elsewhere", (phase) => {
    const lost = ofOther(phase, { ownerLostAtMs: t0 });
    expect(decide(lost, alone({ pod: runningPod("b") }), t0 + 5 * minute)).toEqual({
      do: "resume",
      count: 1,
      cause: "the node agent on node b is gone",
      podUid: "pod-1",
    });
    const resume = { count: 3, cause: "x", atMs: t0, pending: false };
    const lastTime = ofOther(phase, { ownerLostAtMs: t0, resume });
    expect(decide(lastTime, alone(), t0 + 5 * minute)).toMatchObject({
      do: "end",
      verdict: { phase: "Failed" },
    });
  });

  it("row 52: InProgress: a result from before is taken over", () => {
    const pod = endedPod(kind === "DataUpload" ? backedUp : restored, "b");
    const lost = ofOther("InProgress", { ownerLostAtMs: t0 });
    expect(decide(lost, alone({ pod }), t0 + 5 * minute).do).toBe("adopt");
  });

  it("row 52: a pod that is being made again is not counted twice", () => {
    const resume = { count: 3, cause: "x", atMs: t0, pending: true };
    const lost = ofOther("InProgress", { ownerLostAtMs: t0, resume });
    expect(decide(lost, alone(), t0 + 5 * minute).do).toBe("adopt");
  });

  it.each(others)("row 52: %s: a cancel of a lost agent is carried out", (phase) => {
    for (const given of [{ cancel: true }, { deleting: true }]) {
      const lost = ofOther(phase, { ownerLostAtMs: t0, ...given });
      expect(decide(lost, alone(), t0 + 5 * minute)).toEqual({
        do: "end",
        verdict: { phase: "Canceled" },
      });
    }
  });

  it("an end that nobody carries out is taken over", () => {
    const ending = { phase: "Failed", message: "x", by: "b", atMs: t0 } as const;
    const lost = ofOther("InProgress", { ending, ownerLostAtMs: t0 });
    expect(decide(lost, alone(), t0 + 5 * minute).do).toBe("adopt");
    const slow = ofOther("InProgress", { ending });
    expect(decide(slow, world(), t0 + 35 * minute).do).toBe("nothing");
    expect(decide(slow, world(), t0 + 36 * minute).do).toBe("adopt");
  });

  it("Accepted → Failed by any: the prepare timeout of an agent that does not keep it", () => {
    expect(decide(ofOther("Accepted"), world(), t0 + 31 * minute - 1).do).toBe("nothing");
    expect(decide(ofOther("Accepted"), world(), t0 + 31 * minute)).toMatchObject({
      do: "end",
      diagnose: true,
      verdict: { phase: "Failed" },
    });
  });

  it.each([
    ["Accepted", 5],
    ["Prepared", 5],
    ["InProgress", 60],
    ["Canceling", 5],
  ])("%s → Canceled by any, %i minutes after a cancel was seen", (phase, minutes) => {
    expect(decide(ofOther(phase, { cancel: true })).do).toBe("noteCancelSeen");
    const seen = ofOther(phase, { cancel: true, cancelSeenAtMs: t0, acceptedAtMs: t0 });
    const limit = t0 + (minutes + 1) * minute;
    expect(decide(seen, world(), limit - 1).do).toBe("nothing");
    expect(decide(seen, world(), limit)).toEqual({ do: "end", verdict: { phase: "Canceled" } });
  });

  it("an object with nobody in charge is taken too", () => {
    const { acceptedBy, ...nobodys } = ofOther("Accepted");
    expect(decide(nobodys).do).toBe("noteOwnerLost");
  });
});
