/** The pod's status in all its forms: who waits, runs, ended by itself, or was ended. */
import type { Pod } from "@dm/crds";
import { expect, it } from "vitest";
import { hostingPodState } from "../../src/node-agent/hosting-pod-state.ts";
import { backedUp, pod, resultMessage } from "./objects.ts";

const outcomeOf = (status: Pod["status"]) =>
  hostingPodState("DataUpload", pod(status)).outcome?.outcome;
const terminated = (
  phase: string,
  state: { exitCode: number; reason?: string; message?: string },
  status: Pod["status"] = {},
): Pod["status"] => ({
  phase,
  containerStatuses: [
    {
      name: "m",
      image: "",
      imageID: "",
      ready: false,
      restartCount: 0,
      state: { terminated: state },
    },
  ],
  ...status,
});

it("waits and runs", () => {
  expect(hostingPodState("DataUpload", pod({ phase: "Pending" }))).toMatchObject({
    node: "a",
    running: false,
    outcome: undefined,
  });
  expect(hostingPodState("DataUpload", pod({ phase: "Running" })).running).toBe(true);
  const leaving = pod({ phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z" });
  expect(hostingPodState("DataUpload", leaving)).toMatchObject({
    running: false,
    outcome: undefined,
  });
});

it("has the mover's own result", () => {
  const state = hostingPodState(
    "DataUpload",
    pod(terminated("Succeeded", { exitCode: 0, message: resultMessage("DataUpload") })),
  );
  expect(state.outcome).toEqual(backedUp);
});

it("2.4: a success that cannot be read is a failure", () => {
  expect(outcomeOf(terminated("Succeeded", { exitCode: 0, message: "ok" }))).toBe("failed");
});

it.each([
  ["SIGKILL", terminated("Failed", { exitCode: 137, reason: "Error" })],
  ["out of memory", terminated("Failed", { exitCode: 137, reason: "OOMKilled" })],
  ["SIGTERM", terminated("Failed", { exitCode: 143 })],
  ["an abort of the engine", terminated("Failed", { exitCode: 134 })],
  ["eviction", { phase: "Failed", reason: "Evicted", message: "disk pressure" }],
  ["eviction of a container", terminated("Failed", { exitCode: 1 }, { reason: "Evicted" })],
  ["a lost node", { phase: "Unknown" }],
  ["a pod of which nothing is known", { phase: "Failed" }],
] as const)("was interrupted by %s", (_, status) => {
  expect(outcomeOf(status as Pod["status"])).toBe("interrupted");
});

it("ended by itself with a reason, whatever the code", () => {
  for (const exitCode of [1, 2, 137])
    expect(outcomeOf(terminated("Failed", { exitCode, message: "cannot read x" }))).toBe("failed");
  expect(outcomeOf(terminated("Failed", { exitCode: 1 }))).toBe("failed");
  expect(
    outcomeOf(terminated("Failed", { exitCode: 1, message: "x: data path is canceled" })),
  ).toBe("canceled");
});
