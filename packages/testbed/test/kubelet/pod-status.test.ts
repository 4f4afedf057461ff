// Phase and conditions for every constellation of containers: a table, held against the rules of a real kubelet.
import { describe, expect, it } from "vitest";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import {
  type ContainerView,
  mergeConditions,
  type PodView,
  podPhase,
  podStatus,
} from "../../src/kubelet/pod-status.ts";

const startMs = Date.parse("2026-01-02T03:04:05Z");

const pod = (restartPolicy: string, status?: Json): StoredObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", uid: "u", resourceVersion: "1", creationTimestamp: "" },
  spec: { restartPolicy, containers: [{ name: "main", image: "x" }] },
  status,
});

const ended = (exitCode: number) => ({
  containerID: "process://u/main/0",
  exitCode,
  reason: exitCode === 0 ? "Completed" : "Error",
  startedAtMs: startMs,
  finishedAtMs: startMs + 1000,
});

type State = "new" | "waiting" | "running" | "ok" | "bad" | "crashing" | "restarted";

const container = (state: State, name = "main"): ContainerView => ({
  name,
  image: "x",
  restartCount: state === "restarted" || state === "crashing" ? 1 : 0,
  ready: state === "running" || state === "restarted",
  ...{
    new: {},
    waiting: { waiting: { reason: "ErrImagePull" } },
    running: { running: { containerID: "process://u/main/0", startedAtMs: startMs } },
    ok: { ended: ended(0) },
    bad: { ended: ended(1) },
    crashing: { waiting: { reason: "CrashLoopBackOff" }, ended: ended(1) },
    restarted: {
      running: { containerID: "process://u/main/1", startedAtMs: startMs },
      lastEnded: ended(1),
    },
  }[state],
});

const view = (
  states: readonly State[],
  init: readonly State[] = [],
  extra: Partial<PodView> = {},
): PodView => ({
  initContainers: init.map((state, index) => container(state, `init-${index}`)),
  containers: states.map((state, index) => container(state, `main-${index}`)),
  startTime: "2026-01-02T03:04:05Z",
  hostIP: "127.0.0.1",
  podIP: "127.10.0.1",
  sandboxReady: true,
  stopping: false,
  ...extra,
});

describe("phase", () => {
  it.each<[string, readonly State[], readonly State[], Partial<PodView>, string]>([
    ["Never", ["new"], [], {}, "Pending"],
    ["Never", ["waiting"], [], {}, "Pending"],
    ["Never", ["running"], [], {}, "Running"],
    ["Never", ["running", "waiting"], [], {}, "Pending"],
    ["Never", ["running", "bad"], [], {}, "Running"],
    ["Never", ["ok", "ok"], [], {}, "Succeeded"],
    ["Never", ["ok", "bad"], [], {}, "Failed"],
    ["OnFailure", ["ok"], [], {}, "Succeeded"],
    ["OnFailure", ["bad"], [], {}, "Running"],
    ["OnFailure", ["crashing"], [], {}, "Running"],
    ["Always", ["ok"], [], {}, "Running"],
    ["Always", ["crashing"], [], {}, "Running"],
    ["Always", ["restarted"], [], {}, "Running"],
    ["Never", ["new"], ["running"], {}, "Pending"],
    ["Never", ["new"], ["ok", "new"], {}, "Pending"],
    ["Never", ["new"], ["bad"], {}, "Failed"],
    ["Always", ["new"], ["crashing"], {}, "Pending"],
    ["Never", ["running"], ["ok"], {}, "Running"],
    ["Always", ["ok"], [], { stopping: true }, "Succeeded"],
    ["Always", ["bad"], [], { stopping: true }, "Failed"],
    ["Always", ["running"], [], { stopping: true }, "Running"],
    ["Always", ["new"], [], { stopping: true }, "Failed"],
    ["Always", ["new"], ["new"], { stopping: true }, "Failed"],
    [
      "Always",
      ["running"],
      [],
      { failure: { reason: "DeadlineExceeded", message: "" } },
      "Running",
    ],
    ["Always", ["ok"], [], { failure: { reason: "DeadlineExceeded", message: "" } }, "Failed"],
  ])("%s %j after init %j with %j is %s", (policy, states, init, extra, expected) => {
    expect(podPhase(pod(policy), view(states, init, extra))).toBe(expected);
  });
});

const condition = (status: Json, wanted: string): Json =>
  status.conditions.find(({ type }: Json) => type === wanted);

describe("status", () => {
  it("names the containers that are not ready", () => {
    const status = podStatus(pod("Always"), view(["running", "waiting"]), startMs);
    expect(condition(status, "Ready")).toEqual({
      type: "Ready",
      status: "False",
      reason: "ContainersNotReady",
      message: "containers with unready status: [main-1]",
      lastTransitionTime: "2026-01-02T03:04:05Z",
    });
    expect(status.containerStatuses[1].state).toEqual({ waiting: { reason: "ErrImagePull" } });
  });

  it("waits for init containers with the word for it", () => {
    const status = podStatus(pod("Always"), view(["new"], ["running"]), startMs);
    expect(status.containerStatuses[0].state).toEqual({ waiting: { reason: "PodInitializing" } });
    expect(condition(status, "Initialized")).toMatchObject({
      status: "False",
      message: "containers with incomplete status: [init-0]",
    });
  });

  it("shows the end before beside the present state", () => {
    const [crashing] = podStatus(pod("Always"), view(["crashing"]), startMs).containerStatuses;
    expect(crashing.state.waiting.reason).toBe("CrashLoopBackOff");
    expect(crashing.lastState.terminated.exitCode).toBe(1);
    const [restarted] = podStatus(pod("Always"), view(["restarted"]), startMs).containerStatuses;
    expect(restarted.state.running.startedAt).toBe("2026-01-02T03:04:05Z");
    expect(restarted.lastState.terminated.exitCode).toBe(1);
    const [over] = podStatus(pod("Never"), view(["bad"]), startMs).containerStatuses;
    expect(over).toMatchObject({ state: { terminated: { exitCode: 1 } }, lastState: {} });
  });

  it("keeps what others wrote", () => {
    const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: "x" };
    const status = podStatus(
      pod("Always", { conditions: [scheduled], custom: 1 }),
      view(["running"]),
      startMs,
    );
    expect(status.custom).toBe(1);
    expect(status.conditions[0]).toEqual(scheduled);
    expect(condition(status, "Ready").status).toBe("True");
  });

  it("is the same when nothing has changed, at whatever time", () => {
    const first = podStatus(pod("Always"), view(["running"]), startMs);
    const second = podStatus(pod("Always", first), view(["running"]), startMs + 60_000);
    expect(second).toEqual(first);
  });
});

it("moves the time of a condition only with its status", () => {
  const old = mergeConditions([], startMs, [{ type: "Ready", status: "False", reason: "A" }]);
  const same = mergeConditions(old, startMs + 5000, [
    { type: "Ready", status: "False", reason: "B" },
  ]);
  expect(same).toEqual([
    { type: "Ready", status: "False", reason: "B", lastTransitionTime: "2026-01-02T03:04:05Z" },
  ]);
  const other = mergeConditions(same, startMs + 5000, [{ type: "Ready", status: "True" }]);
  expect(other[0]?.lastTransitionTime).toBe("2026-01-02T03:04:10Z");
});
