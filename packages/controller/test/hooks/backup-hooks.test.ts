/** Which commands run in a pod before and after its volumes are taken: annotations, and the hooks of a Backup. */
import type { BackupSpec, Pod } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { backupHooks } from "../../src/hooks/backup-hooks.ts";

const pods = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  namespaced: true,
  verbs: [],
};
const pod = (annotations: Record<string, string> = {}): Pod => ({
  metadata: { name: "db", namespace: "shop", labels: { app: "db" }, annotations },
  spec: { containers: ["main", "side"].map((name) => ({ name, image: "i" })) },
});
const exec = (command: string, more = {}) => ({ exec: { command: [command], ...more } });
const hooksOf = (
  spec: BackupSpec,
  annotations: Record<string, string> = {},
  phase: "pre" | "post" = "pre",
) => backupHooks(spec, pod(annotations), phase, [pods]);
const commands = (...args: Parameters<typeof hooksOf>) =>
  hooksOf(...args).map(({ command }) => command.join(" "));

describe("annotations", () => {
  const annotation = (phase: string, key: string, value: string) => ({
    [`${phase}hook.backup.velero.io/${key}`]: value,
  });
  it("name a command, by default in the first container", () => {
    expect(hooksOf({}, annotation("pre.", "command", '["sync","-f"]'))).toEqual([
      {
        name: "<from-annotation>",
        container: "main",
        command: ["sync", "-f"],
        onError: "Fail",
        timeoutMs: 30_000,
      },
    ]);
  });
  it("say all that can be said", () => {
    const all = {
      ...annotation("post.", "command", "/bin/thaw"),
      ...annotation("post.", "container", "side"),
      ...annotation("post.", "on-error", "Continue"),
      ...annotation("post.", "timeout", "2m"),
    };
    expect(hooksOf({}, all, "post")).toEqual([
      {
        name: "<from-annotation>",
        container: "side",
        command: ["/bin/thaw"],
        onError: "Continue",
        timeoutMs: 120_000,
      },
    ]);
    expect(hooksOf({}, all, "pre")).toEqual([]);
  });
  it("without a phase come before", () => {
    const old = annotation("", "command", "[not json");
    expect(commands({}, old)).toEqual(["[not json"]);
    expect(commands({}, old, "post")).toEqual([]);
  });
});

it.each(["Succeeded", "Failed"])("a pod that is %s has none", (phase) => {
  const note = { "pre.hook.backup.velero.io/command": "a" };
  expect(backupHooks({}, { ...pod(note), status: { phase } }, "pre", [pods])).toEqual([]);
});

describe("hooks of the Backup", () => {
  const set = (more: object, pre = [exec("a")]): BackupSpec => ({
    hooks: { resources: [{ name: "set", pre, ...more }] },
  });
  it("run in their order, with their own settings", () => {
    const pre = [exec("a", { container: "side", timeout: "5s", onError: "Continue" }), exec("b")];
    expect(hooksOf(set({ post: [exec("c")] }, pre))).toEqual([
      { name: "set", container: "side", command: ["a"], onError: "Continue", timeoutMs: 5_000 },
      { name: "set", container: "main", command: ["b"], onError: "Fail", timeoutMs: 30_000 },
    ]);
    expect(commands(set({ post: [exec("c")] }), {}, "post")).toEqual(["c"]);
  });
  it("give way to annotations", () => {
    const own = { "pre.hook.backup.velero.io/command": "own" };
    expect(commands(set({}), own)).toEqual(["own"]);
  });
  it.each([
    [{}, 1],
    [{ includedNamespaces: ["sh*"] }, 1],
    [{ includedNamespaces: ["other"] }, 0],
    [{ excludedNamespaces: ["shop"] }, 0],
    [{ includedResources: ["po"] }, 1],
    [{ includedResources: ["deployments"] }, 0],
    [{ excludedResources: ["pods"] }, 0],
    [{ labelSelector: { matchLabels: { app: "db" } } }, 1],
    [{ labelSelector: { matchLabels: { app: "web" } } }, 0],
  ])("%j: %d", (more, count) => {
    expect(hooksOf(set(more))).toHaveLength(count);
  });
});
