// Events look like those of Kubernetes' own parts, and what is said again is counted instead of written again.
import { afterEach, beforeEach, expect, it } from "vitest";
import { createEventRecorder } from "../../src/controllers/event-recorder.ts";
import { microTimestamp } from "../../src/controllers/timestamp.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import { createWorld, pod, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld();
});

afterEach(() => world.close());

it("writes one object for the same words, with a count and the last time", async () => {
  const about = world.api.create("pods", pod("a", { schedulerName: "none" }));
  const recorder = createEventRecorder(world.api, { component: "kubelet", host: "node-1" });
  recorder.record(about, "Warning", "BackOff", "Back-off", "spec.containers{main}");
  await world.clock.advance(60_000);
  recorder.record(about, "Warning", "BackOff", "Back-off", "spec.containers{main}");
  recorder.record(about, "Warning", "BackOff", "Back-off other", "spec.containers{main}");
  const events = world.api.list("events", "default");
  expect(events).toHaveLength(2);
  expect(events[0]).toMatchObject({
    metadata: { name: expect.stringMatching(/^a\.[0-9a-f]{16}$/), namespace: "default" },
    involvedObject: {
      kind: "Pod",
      apiVersion: "v1",
      namespace: "default",
      name: "a",
      uid: about.metadata.uid,
      fieldPath: "spec.containers{main}",
    },
    type: "Warning",
    reason: "BackOff",
    message: "Back-off",
    count: 2,
    firstTimestamp: "2026-01-02T03:04:05Z",
    lastTimestamp: "2026-01-02T03:05:05Z",
    source: { component: "kubelet", host: "node-1" },
  });
  expect(events[1]).toMatchObject({ message: "Back-off other", count: 1 });
});

it("writes anew what was deleted, and about nodes into the namespace default", async () => {
  const recorder = createEventRecorder(world.api, { component: "x" });
  await world.addNode("node-1");
  const node = world.api.get("nodes", "", "node-1");
  if (node === undefined) throw new Error("no node");
  recorder.record(node, "Normal", "A", "a");
  for (const { metadata } of world.api.list("events", "default")) {
    world.api.delete("events", "default", metadata.name);
  }
  recorder.record(node, "Normal", "A", "a");
  expect(world.api.list("events", "default")).toMatchObject([{ count: 1, reason: "A" }]);
});

it("does not fail where no event can be written", () => {
  const recorder = createEventRecorder(world.api, { component: "x" });
  const about = world.api.create("configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "a", namespace: "default" },
  });
  about.metadata.namespace = "nowhere";
  recorder.record(about, "Normal", "A", "a");
  expect(world.events("A")).toEqual([]);
});

it("writes micro times with six decimals", () => {
  expect(microTimestamp(virtualClock(1_700_000_000_007))).toBe("2023-11-14T22:13:20.007000Z");
});
