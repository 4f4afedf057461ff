// The fault-injecting store fails where it is told, tells what it did, and repeats itself with its seed; its hook can kill
// the process at any call.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "@dm/core";
import { describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import { type BlobStore, memoryStore } from "../src/index.ts";
import {
  type FaultRule,
  faultAt,
  faultInjected,
  faulty,
  type StoreOperation,
  seededFaults,
} from "../src/testing.ts";

const data = new Uint8Array(100).fill(4);
const retention = { mode: "GOVERNANCE", periodMs: 1000 } as const;

const filled = () =>
  memoryStore({
    blobs: new Map([
      ["a", data.slice()],
      ["b", data.slice()],
    ]),
  });

async function ids(store: BlobStore, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list(prefix)) found.push(id);
  return found;
}

const operations: Array<readonly [StoreOperation, string, (store: BlobStore) => Promise<unknown>]> =
  [
    ["get", "a", (store) => store.get("a")],
    ["put", "new", (store) => store.put("new", data)],
    ["delete", "a", (store) => store.delete("a")],
    ["list", "b", (store) => ids(store, "b")],
    ["stat", "a", (store) => store.stat("a")],
    ["extendRetention", "a", (store) => store.extendRetention("a", retention)],
    ["capacity", "", (store) => store.capacity()],
  ];

describe.each(operations)("%s", (operation, id, run) => {
  it("passes when nothing is said", async () => {
    const store = faulty(filled());
    await run(store);
    expect([store.callCount, store.faults]).toEqual([1, []]);
  });

  it("fails before the store has seen it", async () => {
    const memory = filled();
    const store = faulty(memory, { rule: faultAt(1, { fail: "before" }) });
    await expect(run(store)).rejects.toMatchObject({
      name: "StorageError",
      code: "DM_STORE_FAULT_INJECTED",
      retryable: true,
      details: { number: 1, operation, id, phase: "before" },
    });
    expect([...memory.blobs.keys(), ...memory.lockedUntilNs.keys()]).toEqual(["a", "b"]);
    expect(store.faults).toEqual([{ number: 1, operation, id, fault: { fail: "before" } }]);
    await run(store);
  });

  it("fails after the store has done it", async () => {
    const memory = filled();
    const direct = filled();
    await run(direct);
    const store = faulty(memory, { rule: faultAt(1, { fail: "after" }) });
    await expect(run(store)).rejects.toMatchObject({ details: { phase: "after" } });
    expect([...memory.blobs.keys()]).toEqual([...direct.blobs.keys()]);
    expect([...memory.lockedUntilNs.keys()]).toEqual([...direct.lockedUntilNs.keys()]);
  });

  it("is shown to the hook before and after, and waits for it", async () => {
    const seen: unknown[] = [];
    const store = faulty(filled(), {
      onCall: async (...call) => {
        await Promise.resolve();
        seen.push(call);
      },
    });
    await run(store);
    await run(store);
    expect(seen).toEqual([
      [1, operation, id, "before"],
      [1, operation, id, "after"],
      [2, operation, id, "before"],
      [2, operation, id, "after"],
    ]);
  });

  it("can be delayed", async () => {
    const clock = manualClock(0n);
    await run(faulty(filled(), { clock, rule: () => ({ delayMs: 250 }) }));
    expect(clock.nowNs()).toBe(250_000_000n);
  });

  it("throws the error that it is given", async () => {
    const error = new Error("mine");
    await expect(run(faulty(filled(), { rule: () => ({ fail: "after", error }) }))).rejects.toBe(
      error,
    );
  });
});

it("a list fails after it has given out everything", async () => {
  const store = faulty(filled(), { rule: faultAt(1, { fail: "after" }) });
  const seen: string[] = [];
  const read = async (): Promise<void> => {
    for await (const { id } of store.list("")) seen.push(id);
  };
  await expect(read()).rejects.toThrow("after list");
  expect(seen).toEqual(["a", "b"]);
});

it("reads and lists can be cut short without a word", async () => {
  const store = faulty(filled(), { rule: () => ({ cutTo: 1 }) });
  expect(await store.get("a")).toEqual(data.subarray(0, 1));
  expect(await ids(store)).toEqual(["a"]);
});

it("a call that the store refuses is not shown as done", async () => {
  const phases: string[] = [];
  const store = faulty(filled(), {
    onCall: (_number, _operation, _id, phase) => phases.push(phase),
  });
  await expect(store.get("gone")).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
  expect(phases).toEqual(["before"]);
});

it("the default error can be made one that is not repeated", () => {
  const call = { number: 3, operation: "put", id: "x" } as const;
  expect(faultInjected(call, "after", false)).toMatchObject({ retryable: false });
});

describe("seeded faults", () => {
  const outcome = (rule: FaultRule, operation: StoreOperation = "put"): string =>
    Array.from({ length: 1000 }, (_, index) => rule({ number: index + 1, operation, id: "x" }))
      .map((fault) => (fault ? (fault.fail?.[0] ?? "d") : "."))
      .join("");

  it("are the same for the same seed, and others for another", () => {
    expect(outcome(seededFaults({ seed: 1 }))).toBe(outcome(seededFaults({ seed: 1 })));
    expect(outcome(seededFaults({ seed: 1 }))).not.toBe(outcome(seededFaults({ seed: 2 })));
  });

  it("come about as often as was asked, of every kind", () => {
    for (const probability of [0, 0.05, 0.5, 1]) {
      const hits = outcome(seededFaults({ seed: 3, probability })).replaceAll(".", "");
      expect(Math.abs(hits.length / 1000 - probability)).toBeLessThan(0.04);
      if (probability === 0.5) expect([...new Set(hits)].sort()).toEqual(["a", "b", "d"]);
    }
  });

  it("may be kept to some operations without shifting the others", () => {
    const all = outcome(seededFaults({ seed: 4, probability: 0.3 }));
    const puts = seededFaults({ seed: 4, probability: 0.3, operations: ["put"] });
    const mixed = Array.from({ length: 1000 }, (_, index) =>
      puts({ number: index + 1, operation: index % 2 ? "get" : "put", id: "x" }),
    );
    for (const [index, fault] of mixed.entries()) {
      expect(fault !== undefined).toBe(index % 2 === 0 && all[index] !== ".");
    }
  });
});

it("the hook can kill the process at every call of a session", { timeout: 120_000 }, async () => {
  // Three puts, a list and a delete: ten points. What was acknowledged on standard output must be there afterwards.
  const child = `
    import { filesystemStore } from "@dm/storage/filesystem";
    import { faulty } from "@dm/storage/testing";
    const [path, point] = process.argv.slice(1);
    let points = 0;
    const onCall = () => { if (++points === Number(point)) process.kill(process.pid, "SIGKILL"); };
    const store = faulty(filesystemStore({ path, create: true }), { onCall });
    const { writeSync } = await import("node:fs");
    for (const id of ["one", "two", "three"]) {
      await store.put(id, new TextEncoder().encode(id));
      writeSync(1, "+" + id + " ");
    }
    for await (const { id } of store.list(""));
    await store.delete("one");
    writeSync(1, "-one ");
  `;
  const run = (path: string, point: number): Promise<{ signal: string | null; output: string }> =>
    new Promise((resolve) => {
      const flags = ["--conditions=@dm/source", "--input-type=module", "-e", child, path];
      const running = spawn(process.execPath, [...flags, String(point)], {
        cwd: import.meta.dirname,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let output = "";
      running.stdout.on("data", (chunk) => {
        output += chunk;
      });
      running.on("close", (_code, signal) => resolve({ signal, output }));
    });
  const base = await mkdtemp(join(tmpdir(), "dm-storage-kill-"));
  try {
    const points = Array.from({ length: 11 }, (_, index) => index + 1);
    for (const point of points) {
      const path = join(base, `point${point}`);
      const { output, signal } = await run(path, point);
      expect(signal, `point ${point}`).toBe(point <= 10 ? "SIGKILL" : null);
      const done = output.trim() === "" ? [] : output.trim().split(" ");
      const found = await ids(filesystemStore({ path, create: true }));
      for (const id of ["one", "two", "three"]) {
        const acknowledged = done.includes(`+${id}`);
        if (acknowledged && point < 9) expect(found, `point ${point}`).toContain(id);
      }
      if (done.includes("-one")) expect(found).not.toContain("one");
      // Killed after the second put was stored, before its caller knew.
      if (point === 4) expect([done, found.sort()]).toEqual([["+one"], ["one", "two"]]);
    }
  } finally {
    await rm(base, { recursive: true, force: true });
  }
});
