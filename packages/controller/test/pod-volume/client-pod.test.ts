/** What a pod's status says about its volumes: from when on they can be filled, and until when. */
import type { ContainerStatus, Pod } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { clientPodOf } from "../../src/pod-volume/client-pod.ts";
import { withRestoreWait } from "../../src/pod-volume/index.ts";
import { podWith } from "./samples.ts";

const plain = podWith([{ name: "data", emptyDir: {} }]);
const waiting = withRestoreWait(plain, "r", ["data"], { image: "dm:1" });
const uid = plain.metadata.uid ?? "";
const container = (state: ContainerStatus["state"], name = "restore-wait"): ContainerStatus => ({
  ...{ name, image: "", imageID: "", ready: false, restartCount: 0 },
  ...(state && { state }),
});
const stateOf = (pod: Pod, status: Pod["status"]) =>
  clientPodOf({ ...pod, ...(status && { status }) }, uid).state;

describe("clientPodOf", () => {
  it.each<[string, Pod["status"]]>([
    ["starting", { phase: "Pending" }],
    ["starting", { phase: "Pending", initContainerStatuses: [container({ waiting: {} })] }],
    [
      "starting",
      { phase: "Pending", initContainerStatuses: [container({ running: {} }, "other")] },
    ],
    ["waiting", { phase: "Pending", initContainerStatuses: [container({ running: {} })] }],
    // It is started again.
    [
      "starting",
      { phase: "Pending", initContainerStatuses: [container({ terminated: { exitCode: 1 } })] },
    ],
    [
      "running",
      { phase: "Pending", initContainerStatuses: [container({ terminated: { exitCode: 0 } })] },
    ],
    ["running", { phase: "Running" }],
    ["over", { phase: "Succeeded" }],
    ["over", { phase: "Failed" }],
  ])("%s: %j", (state, status) => {
    expect(stateOf(waiting, status)).toBe(state);
  });

  it("tells a pod without the init container from one that waits", () => {
    const status = { phase: "Pending", initContainerStatuses: [container({ running: {} })] };
    expect(stateOf(plain, status)).toBe("starting");
  });

  it("counts a pod that is being deleted until its containers have ended", () => {
    const deletionTimestamp = "2026-11-22T22:39:00Z";
    const deleted = { ...plain, metadata: { ...plain.metadata, deletionTimestamp } };
    const running = { phase: "Running", containerStatuses: [container({ running: {} }, "mysql")] };
    expect(stateOf(deleted, running)).toBe("running");
    const ended = [container({ terminated: { exitCode: 0 } }, "mysql")];
    expect(stateOf(deleted, { phase: "Running", containerStatuses: ended })).toBe("over");
    // Without a deletion it is started again.
    expect(stateOf(plain, { phase: "Running", containerStatuses: ended })).toBe("running");
  });

  it("is about one pod, not the next one of its name", () => {
    expect(clientPodOf(undefined, uid)).toEqual({ state: "over" });
    expect(clientPodOf(plain, "another")).toEqual({ state: "over" });
    expect(clientPodOf(plain, "")).toEqual({ state: "running", node: "node-1" });
  });
});
