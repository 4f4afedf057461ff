/**
 * What tests of the runtime stand on: the embedded API server, a proxy that breaks in front of it, a client, and virtual time
 * for everything that waits (the sockets themselves need real time).
 * @module
 */
import type { ConfigMap } from "@dm/crds";
import {
  type ApiServer,
  type ClusterApi,
  createApiServer,
  type VirtualClock,
  virtualClock,
} from "@dm/testbed";
import { onTestFinished } from "vitest";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { type FaultyProxy, faultyProxy } from "./faulty-proxy.ts";

export interface TestApi {
  readonly server: ApiServer;
  readonly cluster: ClusterApi;
  readonly proxy: FaultyProxy;
  /** Speaks to the server through the proxy. */
  readonly client: NodeKubeClient;
  readonly clock: VirtualClock;
  /** Aborts when the test ends. */
  readonly signal: AbortSignal;
  /** Ends, and is waited for, at the end of the test, before the server goes. */
  background(run: (signal: AbortSignal) => Promise<unknown>): void;
  /** Lets time pass, virtual and real, until the condition holds. */
  until(condition: () => boolean | Promise<boolean>, stepMs?: number): Promise<void>;
  /** Lets virtual time pass in steps, with real time for the sockets between them. */
  pass(ms: number, stepMs?: number): Promise<void>;
}

export const startMs = Date.parse("2026-01-01T00:00:00Z");

export async function testApi(): Promise<TestApi> {
  const server = await createApiServer({ tls: false });
  const proxy = await faultyProxy(server.url);
  // A request that is put off is the caller's to repeat here: its wait is virtual, while the client waits for real.
  const plain = nodeKubeClient({
    server: { url: proxy.url, token: server.adminToken },
    putOffRetries: 0,
  });
  const { client, settled } = observed(plain, proxy);
  const clock = virtualClock(startMs);
  const stop = new AbortController();
  const running: Promise<unknown>[] = [];
  // Virtual time waits for requests: a slow machine must not look like a slow server.
  const step = async (ms: number): Promise<void> => {
    await settled();
    await clock.advance(ms);
    await realPause();
  };
  onTestFinished(async () => {
    stop.abort(new Error("the test has ended"));
    let ended = false;
    void Promise.allSettled(running).then(() => {
      ended = true;
    });
    while (!ended) await step(1_000);
    plain.close();
    await proxy[Symbol.asyncDispose]();
    await server.close();
  });
  return {
    server,
    cluster: server.cluster,
    proxy,
    client,
    clock,
    signal: stop.signal,
    background: (run) => {
      running.push(run(stop.signal));
    },
    async until(condition, stepMs = 100) {
      while (!(await condition())) await step(stepMs);
    },
    async pass(ms, stepMs = 100) {
      for (let left = ms; left > 0; left -= stepMs) await step(Math.min(left, stepMs));
    },
  };
}

/** The client, and a wait until none of its calls is under way; of watches only the beginning counts. */
function observed(
  plain: NodeKubeClient,
  proxy: FaultyProxy,
): { readonly client: NodeKubeClient; readonly settled: () => Promise<void> } {
  let calls = 0;
  const openings = new Set<{ readonly begunBefore: number }>();
  const counted = async <Result>(call: Promise<Result>): Promise<Result> => {
    calls += 1;
    try {
      return await call;
    } finally {
      calls -= 1;
    }
  };
  const client: NodeKubeClient = {
    ...plain,
    get: (...args) => counted(plain.get(...args)),
    list: (...args) => counted(plain.list(...args)),
    create: (...args) => counted(plain.create(...args)),
    replace: (...args) => counted(plain.replace(...args)),
    patch: (...args) => counted(plain.patch(...args)),
    delete: (...args) => counted(plain.delete(...args)),
    async *watch(...args) {
      const opening = { begunBefore: proxy.watchesBegun };
      openings.add(opening);
      try {
        for await (const event of plain.watch(...args)) {
          openings.delete(opening);
          yield event;
        }
      } finally {
        openings.delete(opening);
      }
    },
  };
  const settled = async (): Promise<void> => {
    for (;;) {
      for (const one of openings) if (proxy.watchesBegun > one.begunBefore) openings.delete(one);
      if (calls === 0 && openings.size === 0) return;
      await realPause();
    }
  };
  return { client, settled };
}

const realPause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** What a ConfigMap is in these tests: a name and a value. */
export function configMap(name: string, value: string, namespace = "default") {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace, labels: { value } },
    data: { value },
  };
}

export const valueIn = ({ data }: ConfigMap): string | undefined => data?.["value"];

export function setValue(cluster: ClusterApi, name: string, value: string): void {
  cluster.modify("configmaps", "default", name, (object) => {
    object["data"] = { value };
    object.metadata.labels = { value };
  });
}
