// The loop under the controllers: one key at a time, as often as needed and no oftener, backoff after failures, a clean end.
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ApiServer, createApiServer } from "../../src/api-server/api-server.ts";
import { keyOf, parseKey, startController } from "../../src/controllers/controller.ts";
import { type VirtualClock, virtualClock } from "../../src/virtual-clock.ts";
import { configMap } from "./world.ts";

let clock: VirtualClock;
let server: ApiServer;

beforeEach(async () => {
  clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
  server = await createApiServer({ clock });
});

afterEach(() => server.close());

const mapKeys = {
  configmaps: ({ object }: { object: { metadata: { name: string } } }) => [keyOf(object)],
};

it("reconciles what exists and what changes, many changes of one key at once", async () => {
  server.cluster.create("configmaps", configMap("a"));
  const seen: string[] = [];
  const controller = startController({
    name: "test",
    api: server.cluster,
    watches: mapKeys,
    reconcile(key) {
      seen.push(key);
      return undefined;
    },
  });
  await clock.advance(0);
  expect(seen).toEqual(["default/a"]);
  for (let count = 0; count < 5; count++) {
    server.cluster.modify("configmaps", "default", "a", (one) => {
      one["data"] = { count: String(count) };
    });
  }
  await clock.advance(0);
  expect(seen).toEqual(["default/a", "default/a"]);
  await controller.close();
  server.cluster.delete("configmaps", "default", "a");
  await clock.advance(0);
  expect(seen).toHaveLength(2);
});

it("never runs two at a time, and loses no change that comes meanwhile", async () => {
  let running = 0;
  let most = 0;
  let finish = (): void => {};
  const seen: string[] = [];
  const controller = startController({
    name: "test",
    api: server.cluster,
    watches: mapKeys,
    async reconcile(key) {
      most = Math.max(most, ++running);
      seen.push(key);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      running--;
      return undefined;
    },
  });
  server.cluster.create("configmaps", configMap("a"));
  await clock.advance(0);
  server.cluster.create("configmaps", configMap("b"));
  server.cluster.delete("configmaps", "default", "a");
  await clock.advance(0);
  expect(seen).toEqual(["default/a"]);
  for (let count = 0; count < 3; count++) {
    finish();
    await clock.advance(0);
  }
  expect(seen).toEqual(["default/a", "default/b", "default/a"]);
  expect(most).toBe(1);
  await controller.close();
});

it("comes back after failures with growing pauses, and forgets them after a success", async () => {
  const times: number[] = [];
  const startNs = clock.nowNs();
  let fails = true;
  const controller = startController({
    name: "test",
    api: server.cluster,
    watches: mapKeys,
    reconcile() {
      times.push(Number((clock.nowNs() - startNs) / 1_000_000n));
      if (fails) throw new Error("no");
      return undefined;
    },
  });
  server.cluster.create("configmaps", configMap("a"));
  await clock.advance(100);
  expect(times).toEqual([0, 10, 30, 70]);
  fails = false;
  await clock.advance(100_000);
  expect(times).toEqual([0, 10, 30, 70, 150]);
  expect(clock.sleepers).toBe(0);
  await controller.close();
});

it("asks again after the time that reconcile names, once", async () => {
  let count = 0;
  const controller = startController({
    name: "test",
    api: server.cluster,
    watches: mapKeys,
    reconcile: () => (++count < 3 ? 1000 : undefined),
  });
  server.cluster.create("configmaps", configMap("a"));
  await clock.advance(999);
  expect(count).toBe(1);
  await clock.advance(1);
  expect(count).toBe(2);
  await clock.advance(10_000);
  expect(count).toBe(3);
  await controller.close();
});

it("makes keys that can be read back", () => {
  expect(parseKey("velero/du-1")).toEqual({ namespace: "velero", name: "du-1" });
  expect(parseKey("/node-1")).toEqual({ namespace: "", name: "node-1" });
});
