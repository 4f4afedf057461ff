/** Hooks of Backups: what runs in pods, when, and what comes of failures; and pods that a server left standing still. */

import { FormatError, StorageError } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reconcileBackup } from "../../src/backup/reconcile-backup.ts";
import { reconcileQueue } from "../../src/backup/reconcile-queue.ts";
import { decodeGzipJson, decodeItems, type Results } from "../../src/bucket/backup-files.ts";
import { Crash, operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const file = (name: string): Uint8Array =>
  world.blobs.get(`default/backups/nightly/${name}`) ?? new Uint8Array();
const results = () => decodeGzipJson(file("nightly-results.gz"), "results") as Results;
const names = (resource: string): string[] =>
  decodeItems(file("nightly.tar.gz"), "tarball")
    .filter((one) => one.resource === resource)
    .map(({ object }) => object.metadata.name ?? "");
const annotated = (pre: string, post: string, more: Record<string, string> = {}) => ({
  metadata: {
    annotations: {
      "pre.hook.backup.velero.io/command": pre,
      "post.hook.backup.velero.io/command": post,
      ...more,
    },
  },
});
const run = async (spec: object = {}) => {
  world.backup("nightly", spec);
  return (await world.untilEnd("backups", "nightly")).status;
};

describe("hooks", () => {
  it("run before and after the volumes of their pods are taken", async () => {
    world.claim("shop", "data");
    world.pod("shop", "db", ["data"], annotated("freeze", "thaw"));
    const seen: string[] = [];
    world.hooks = {
      after: (what) => {
        if (/^create (volumesnapshots|datauploads)|^exec/.test(what))
          seen.push(what.split("/")[0] ?? "");
      },
    };
    const status = await run();
    expect(seen).toEqual([
      "exec shop",
      "create volumesnapshots.snapshot.storage.k8s.io",
      "create datauploads.velero.io",
      "exec shop",
    ]);
    expect(world.executed).toEqual(["shop/db main: freeze", "shop/db main: thaw"]);
    expect(status).toMatchObject({ phase: "Completed", hookStatus: { hooksAttempted: 2 } });
  });

  it("hold all pods still that share a claim", async () => {
    world.claim("shop", "data");
    for (const name of ["a", "b"]) world.pod("shop", name, ["data"], annotated("freeze", "thaw"));
    await run();
    expect(world.executed.map((one) => one.slice("shop/".length))).toEqual([
      "a main: freeze",
      "b main: freeze",
      "a main: thaw",
      "b main: thaw",
    ]);
  });

  it("come from the Backup too", async () => {
    world.pod("shop", "web");
    const exec = (command: string, more = {}) => ({ exec: { command: [command, "-f"], ...more } });
    await run({
      hooks: {
        resources: [
          { name: "one", includedNamespaces: ["shop"], pre: [exec("sync")], post: [exec("go")] },
          { name: "two", includedNamespaces: ["other"], pre: [exec("never")] },
        ],
      },
    });
    expect(world.executed).toEqual(["shop/web main: sync -f", "shop/web main: go -f"]);
  });

  it("that fail and let nothing follow keep their pod out, and what they began is ended", async () => {
    world.claim("shop", "data");
    world.pod("shop", "db", ["data"], annotated("freeze", "thaw"));
    world.pod("shop", "web");
    world.onExec = (command) =>
      command.endsWith("freeze") ? { exitCode: 3, stderr: "disk busy\n" } : {};
    const status = await run();
    expect(status).toMatchObject({
      phase: "PartiallyFailed",
      errors: 1,
      hookStatus: { hooksAttempted: 2, hooksFailed: 1 },
    });
    expect(results().errors.namespaces).toEqual({
      shop: [
        "pods/db: pre hook <from-annotation> in container main: command terminated with exit code 3: disk busy",
      ],
    });
    expect(names("pods")).toEqual(["web"]);
    expect(world.executed).toEqual(["shop/db main: freeze", "shop/db main: thaw"]);
  });

  it("that may fail are warnings", async () => {
    world.pod(
      "shop",
      "db",
      [],
      annotated("a", "b", { "pre.hook.backup.velero.io/on-error": "Continue" }),
    );
    world.onExec = (command) => {
      if (command.endsWith(" a")) throw new StorageError("DM_EXEC_TIMEOUT", "too slow");
      return {};
    };
    expect(await run()).toMatchObject({ phase: "Completed", warnings: 1 });
    expect(results().warnings.namespaces?.["shop"]?.[0]).toContain("too slow");
    expect(names("pods")).toEqual(["db"]);
  });

  it("after the volumes run also when those could not be taken", async () => {
    world.claim("shop", "data");
    world.pod("shop", "db", ["data"], annotated("freeze", "thaw"));
    world.hooks = {
      before: (what) => {
        if (what.startsWith("create volumesnapshots"))
          throw new FormatError("DM_KUBE_INVALID", "no");
      },
    };
    expect(await run()).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(world.executed.at(-1)).toBe("shop/db main: thaw");
  });

  it("after the volumes run also when the server stops", async () => {
    world.claim("shop", "data");
    world.pod("shop", "db", ["data"], annotated("freeze", "thaw"));
    world.stuckSnapshots.add("data");
    world.backup("nightly");
    const stop = new AbortController();
    world.hooks = {
      after: (what) => {
        if (what.startsWith("create volumesnapshots")) stop.abort(new Error("stopping"));
      },
    };
    const key = { namespace: operator, name: "nightly" };
    while ((await reconcileQueue(world.deps, key)).requeueAfterMs);
    const running = reconcileBackup(world.deps, key, { signal: stop.signal });
    await expect(running).rejects.toThrow("stopping");
    expect(world.executed.at(-1)).toBe("shop/db main: thaw");
    expect(world.phase("backups", "nightly")).toBe("InProgress");
  });

  it("run in the order that the Backup gives, one after the other", async () => {
    for (const name of ["a", "b", "c"])
      world.pod("shop", name, [], annotated(`pre-${name}`, `post-${name}`));
    await run({ orderedResources: { pods: "shop/c,shop/b" } });
    expect(world.executed.map((one) => one.split(": ")[1])).toEqual([
      "pre-c",
      "pre-b",
      "post-c",
      "post-b",
      "pre-a",
      "post-a",
    ]);
    expect(names("pods")).toEqual(["c", "b", "a"]);
  });
});

it("row 95: a server that died in a run: Failed with the reason, its pods go on, its data movement is cancelled", async () => {
  world.claim("shop", "data");
  world.claim("shop", "logs");
  world.pod("shop", "db", ["data"], annotated("freeze", "thaw"));
  world.pod("shop", "other", [], annotated("freeze", "thaw"));
  world.stuckSnapshots.add("logs");
  world.movements.set("data", "hang");
  let isDead = false;
  world.hooks = {
    before: (what) => {
      if (isDead || what === "exec shop/db main: thaw") {
        isDead = true;
        throw new Crash();
      }
    },
  };
  world.backup("nightly");
  await world.turn();
  expect(world.phase("backups", "nightly")).toBe("InProgress");
  expect(world.executed.filter((one) => one.startsWith("shop/db"))).toEqual([
    "shop/db main: freeze",
  ]);
  world.hooks = {};
  world.executed.length = 0;
  const { status } = await world.untilEnd("backups", "nightly");
  expect(status).toMatchObject({
    phase: "Failed",
    failureReason:
      'found a backup with status "InProgress" during the server starting, mark it as "Failed"',
  });
  expect(world.executed.sort()).toEqual(["shop/db main: thaw", "shop/other main: thaw"]);
  expect(world.list("uploads").map(({ spec }) => spec.cancel)).toEqual([true]);
  await world.turn();
  expect([world.list("snapshots"), world.list("contents"), [...world.handles]]).toEqual([
    [],
    [],
    [],
  ]);
  expect([...world.blobs.keys()]).toEqual([]);
});
