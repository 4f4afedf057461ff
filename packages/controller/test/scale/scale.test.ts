/*
 * Many volumes on a few nodes, on bad days: everything is Completed, nothing is left, no node runs more movers than it may, and what
 * it costs the API server and the nodes stays in a budget. By the system clock; the agents have their default waits. Seeded
 * (DM_SEED); 200 volumes with DM_FULL=1.
 */
import { isFinalPhase } from "@dm/crds";
import type { RequestCount } from "@dm/testbed";
import { expect, it } from "vitest";
import { startAgent } from "./agent-process.ts";
import { agentOf, operator, ScaleWorld, snapshotIdOf, uploads } from "./scale-world.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const count = process.env["DM_FULL"] ? 200 : 24;
const longestMs = 500_000;
const nodes = ["n1", "n2", "n3", "n4"];
const concurrency = 3;
const dropMs = 2_000;

/**
 * Calls for one DataUpload, of all agents together. On one node without faults it takes 67 when a mover reports 3 times
 * (test/node-agent/lifecycle.test.ts: 69 with 5). Here come about 10 of the three agents that want to accept it too, about 10 for
 * writes that meet a conflict and are decided again, and 5 to 7 for each look, at first every 2 s, at what storage has not done
 * yet: the part that grows with a slow machine. Measured: 86 with 24 volumes, 117 with 200 at once on two busy processors. At the
 * budget, 200 volumes in 5 minutes are 100 calls in a second, where an API server takes thousands.
 */
const callsPerUpload = 150;

/**
 * Of one agent, at its peak; the DaemonSet's limit is 512. 180 MiB are there before any work: Node, and `@kubernetes/client-node`
 * with 126 MB. Measured: 216 MiB with 200 volumes. What comes on top is mostly garbage that V8 has not collected yet, for which it
 * may take more time on a larger machine; a DataUpload takes 1.2 kB in a cache (bench/runtime.bench.ts).
 */
const peakRssMiB = 320;

/** Watches of an agent: two kinds of objects, two sets of pods, nodes, events. */
const cachesPerAgent = 6;

const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);

it(
  `${count} volumes over 4 nodes, watches cut every 2 s, a fifth of the writes in conflict (DM_SEED=${seed})`,
  async () => {
    await using world = await ScaleWorld.open({
      nodes,
      reports: 3,
      reportMs: 250,
      faultSeed: seed,
    });
    const { api, server } = world;
    const names = Array.from({ length: count }, (_, index) => `b-${index + 1}`);
    await world.makeSources(names);
    const agents = await Promise.all(
      nodes.map(async (node) =>
        startAgent(await world.kubeconfigOf(node), operator, node, String(concurrency)),
      ),
    );
    const weigh = () => Promise.all(agents.map((agent) => agent.weigh()));
    await world.until(async () => (await weigh()).every(({ isReady }) => isReady));
    const idle = await weigh();
    server.requests.reset();
    Object.assign(server.faults, { dropWatchesEveryMs: dropMs, conflictRate: 0.2 });
    server.dropWatches();
    const begunMs = performance.now();
    world.makeUploads(names);
    await world.until(
      () => api.list(uploads, operator).every(({ status }) => isFinalPhase(status?.phase)),
      longestMs,
    );
    const tookMs = performance.now() - begunMs;
    await world.until(() => world.leftovers(names).length === 0);
    const entries = server.requests.entries();
    const loaded = await weigh();
    await Promise.all(agents.map((agent) => agent.stop()));

    for (const name of names)
      expect(api.get(uploads, operator, name)?.status).toMatchObject({
        phase: "Completed",
        snapshotID: snapshotIdOf(name),
        progress: { totalBytes: 1 << 20, bytesDone: 1 << 20 },
      });
    expect(world.movers).toBe(count);
    expect(Math.max(...world.mostMovers.values())).toBeLessThanOrEqual(concurrency);
    expect([...world.mostMovers.keys()].sort()).toEqual(nodes);

    const calls = entries.filter(({ verb }) => verb !== "watch");
    const watches = sum(entries) - sum(calls);
    const peakRss = loaded.map(({ peakRssBytes }) => mib(peakRssBytes));
    process.stdout.write(
      [
        `DM_SEED=${seed}: ${count} DataUploads in ${Math.round(tookMs / 1_000)} s`,
        `requests for each: ${(sum(calls) / count).toFixed(1)} (${table(calls, ({ verb }) => verb)})`,
        `by kind: ${table(calls, ({ resource }) => resource.replace(/\..*/, ""))}`,
        `by agent: ${table(calls, ({ user }) => user.replace(/.*:/, ""))}`,
        `watches: ${watches}, ${((watches * 1_000) / tookMs).toFixed(1)} in a second`,
        `most movers at once on a node: ${[...world.mostMovers.values()].join(", ")}`,
        `peak of an agent, MiB: ${peakRss.join(", ")}; idle: ${idle.map(({ peakRssBytes }) => mib(peakRssBytes)).join(", ")}`,
        `processor time of an agent, s: ${loaded.map(({ cpuMs }, index) => ((cpuMs - (idle[index]?.cpuMs ?? 0)) / 1_000).toFixed(1)).join(", ")}`,
        "",
      ].join("\n"),
    );
    expect(
      calls.every(({ user }) => nodes.some((node) => user.endsWith(`:${agentOf(node)}`))),
    ).toBe(true);
    expect(sum(calls) / count).toBeLessThan(callsPerUpload);
    expect(Math.max(...peakRss)).toBeLessThan(peakRssMiB);
    // A watch that was cut is begun once more, not many times.
    expect(watches).toBeLessThan(nodes.length * cachesPerAgent * (tookMs / dropMs + 10));
  },
  longestMs + 120_000,
);

function sum(entries: readonly RequestCount[]): number {
  return entries.reduce((total, { count: one }) => total + one, 0);
}

/** `get 60.2, update 9.5`: for each DataUpload, by what `nameOf` says, the largest first. */
function table(entries: readonly RequestCount[], nameOf: (entry: RequestCount) => string): string {
  const groups = Map.groupBy(entries, nameOf);
  return [...groups]
    .map(([name, group]) => [name, sum(group) / count] as const)
    .sort(([, a], [, b]) => b - a)
    .map(([name, each]) => `${name} ${each.toFixed(1)}`)
    .join(", ");
}
