/** Which hooks a restored pod has, and what to do next with them, at every state of its containers. */
import type { Pod, Restore } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  decideHooks,
  type ExecHook,
  execHooksFor,
  hookNotes,
  initContainersFor,
  notesOf,
  notesText,
} from "../../src/restore/restore-hooks.ts";

const pod = (more: object = {}, metadata: object = {}): Pod =>
  ({
    metadata: {
      name: "db-0",
      namespace: "copy",
      creationTimestamp: "2026-01-01T10:00:00Z",
      labels: { app: "db" },
      ...metadata,
    },
    spec: { containers: [{ name: "main" }, { name: "side" }] },
    ...more,
  }) as Pod;
const restore = (resources: object[]): Restore =>
  ({ metadata: { name: "back" }, spec: { hooks: { resources } } }) as unknown as Restore;
const exec = (more: object = {}): object => ({ exec: { command: ["run"], ...more } });

describe("a pod has", () => {
  it("the hooks of the Restore that mean its namespace and labels", () => {
    const hooks = restore([
      {
        name: "mine",
        includedNamespaces: ["copy"],
        postHooks: [exec(), exec({ container: "side", onError: "Fail" })],
      },
      { name: "other", includedNamespaces: ["shop"], postHooks: [exec()] },
      { name: "not here", excludedNamespaces: ["copy"], postHooks: [exec()] },
      { name: "by label", labelSelector: { matchLabels: { app: "web" } }, postHooks: [exec()] },
      { name: "init", postHooks: [{ init: { initContainers: [{ name: "i" }] } }] },
    ]);
    const common = { name: "mine", command: ["run"], execTimeoutMs: 30_000, waitForReady: false };
    expect(execHooksFor(hooks, pod())).toEqual([
      { ...common, container: "main", onError: "Continue" },
      { ...common, container: "side", onError: "Fail" },
    ]);
    expect(initContainersFor(hooks, pod(), "copy")).toEqual([{ name: "i" }]);
  });

  it("those of its annotations instead", () => {
    const annotated = pod(
      {},
      {
        annotations: {
          "post.hook.restore.velero.io/command": '["/bin/sh", "-c", "x"]',
          "post.hook.restore.velero.io/container": "side",
          "post.hook.restore.velero.io/on-error": "Fail",
          "post.hook.restore.velero.io/exec-timeout": "2m",
          "post.hook.restore.velero.io/wait-timeout": "5m",
          "post.hook.restore.velero.io/wait-for-ready": "true",
          "init.hook.restore.velero.io/container-image": "busybox",
          "init.hook.restore.velero.io/command": "date",
        },
      },
    );
    const hooks = restore([
      { name: "mine", postHooks: [exec(), { init: { initContainers: [{ name: "i" }] } }] },
    ]);
    expect(execHooksFor(hooks, annotated)).toEqual([
      {
        name: "<from-annotation>",
        container: "side",
        command: ["/bin/sh", "-c", "x"],
        onError: "Fail",
        execTimeoutMs: 120_000,
        waitTimeoutMs: 300_000,
        waitForReady: true,
      },
    ]);
    expect(initContainersFor(hooks, annotated, "copy")).toEqual([
      { name: "velero-restore-init", image: "busybox", command: ["date"] },
    ]);
  });
});

const hook = (more: Partial<ExecHook> = {}): ExecHook => ({
  name: "h",
  container: "main",
  command: ["run"],
  onError: "Continue",
  execTimeoutMs: 30_000,
  waitTimeoutMs: undefined,
  waitForReady: false,
  ...more,
});
const running = { state: { running: {} } };
const withContainers = (...containerStatuses: object[]): Pod =>
  pod({ status: { containerStatuses } });
const startMs = Date.parse("2026-01-01T10:00:00Z");
const time = { nowMs: startMs + 60_000, deadlineMs: startMs + 3_600_000 };

describe("what to do next", () => {
  it("nothing, when all have been", () => {
    expect(decideHooks(pod(), [hook()], ["done"], time)).toEqual({ do: "nothing" });
    expect(decideHooks(pod(), [hook()], [{ error: "x" }], time)).toEqual({ do: "nothing" });
    expect(decideHooks(pod(), [], [], time)).toEqual({ do: "nothing" });
  });

  it("wait, until the container runs; until it is ready, where a hook asks for that", () => {
    const [quick, ready] = [hook(), hook({ waitForReady: true })];
    expect(decideHooks(pod(), [quick], [], time)).toEqual({ do: "wait" });
    const up = withContainers({ name: "main", ...running });
    expect(decideHooks(up, [quick], [], time)).toEqual({ do: "run", index: 0, hook: quick });
    expect(decideHooks(up, [quick, ready], [], time)).toEqual({ do: "wait" });
    const isReady = withContainers({ name: "main", ready: true, ...running });
    expect(decideHooks(isReady, [quick, ready], ["done"], time)).toEqual({
      do: "run",
      index: 1,
      hook: ready,
    });
  });

  it("run in another container meanwhile", () => {
    const side = hook({ container: "side" });
    const up = withContainers({ name: "side", ...running });
    expect(decideHooks(up, [hook(), side], [], time)).toEqual({ do: "run", index: 1, hook: side });
  });

  it("give up, when the pod is over, has no such container, or the time is up", () => {
    const over = pod({ status: { phase: "Succeeded" } });
    expect(decideHooks(over, [hook(), hook()], ["done"], time)).toEqual({
      do: "fail",
      indexes: [1],
      reason: "pod entered phase Succeeded before some post-restore exec hooks ran",
    });
    expect(decideHooks(pod(), [hook(), hook({ container: "none" })], [], time)).toMatchObject({
      do: "fail",
      indexes: [1],
    });
    const short = hook({ waitTimeoutMs: 60_000 });
    expect(decideHooks(pod(), [short], [], time)).toMatchObject({ do: "fail", indexes: [0] });
    // The longest wait of a pod counts for all of its hooks.
    expect(decideHooks(pod(), [short, hook()], [], time)).toEqual({ do: "wait" });
    expect(decideHooks(pod(), [hook()], [], { ...time, nowMs: time.deadlineMs })).toMatchObject({
      do: "fail",
    });
  });
});

it("notes of another Restore, or of nobody, do not count", () => {
  const text = notesText("r-1", ["done", undefined, { error: "x" }]);
  const noted = (value: string): Pod => pod({}, { annotations: { [hookNotes]: value } });
  expect(notesOf(noted(text), "r-1")).toEqual(["done", null, { error: "x" }]);
  expect(notesOf(noted(text), "r-2")).toEqual([]);
  for (const odd of ["{", "null", "1", '{"restore":"r-1"}'])
    expect(notesOf(noted(odd), "r-1")).toEqual([]);
});
