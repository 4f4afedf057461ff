// Probes ask as often as they say and count as they say; and what they find makes pods ready, or restarts containers.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Json } from "../../src/kube-object.ts";
import { type ProbeResult, runProbe } from "../../src/kubelet/probes.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import {
  containerOf,
  createPod,
  eventReasons,
  openCluster,
  shell,
  untilPod,
} from "./running-cluster.ts";

describe("one probe", () => {
  let server: Server;
  let statusCode = 200;
  let port = 0;
  beforeEach(async () => {
    server = createServer((request, response) => {
      response.statusCode = request.url === "/healthz" ? statusCode : 404;
      response.end("x");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** The first things that it tells. */
  async function tellings(probe: Json, count: number, exits: readonly number[] = []) {
    const clock = virtualClock(0);
    const abort = new AbortController();
    const told: (ProbeResult & { counted: boolean; atMs: number })[] = [];
    let calls = 0;
    let enough = (): void => {};
    const all = new Promise<void>((resolve) => {
      enough = resolve;
    });
    // Generous: the machine may be busy.
    const running = runProbe(
      { timeoutSeconds: 30, ...probe },
      {
        clock,
        signal: abort.signal,
        target: {
          host: "127.0.0.1",
          container: { ports: [{ name: "http", containerPort: port }] },
          exec: async () => ({ code: exits[calls++] ?? 0, output: `call ${calls}` }),
        },
        tell(result) {
          told.push({ ...result, atMs: Number(clock.nowNs() / 1_000_000n) });
          if (told.length === count) enough();
        },
      },
    );
    let done = false;
    void all.then(() => {
      done = true;
    });
    // Answers come over the network in real time; the pauses between are virtual.
    while (!done) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (!done && clock.sleepers > 0)
        await clock.advance((clock.nextWakeMs ?? 0) - Number(clock.nowNs() / 1_000_000n));
    }
    abort.abort();
    await running;
    return told;
  }

  it("over HTTP is content with 200 to 399, by port number or name", async () => {
    const httpGet = { path: "/healthz", port: "http" };
    statusCode = 204;
    expect(await tellings({ httpGet }, 1)).toMatchObject([{ ok: true, counted: true }]);
    statusCode = 500;
    expect(await tellings({ httpGet: { path: "healthz", port } }, 3)).toMatchObject([
      { ok: false, counted: false, atMs: 0, message: "HTTP probe failed with statuscode: 500" },
      { ok: false, counted: false, atMs: 10_000 },
      { ok: false, counted: true, atMs: 20_000 },
    ]);
  });

  it("over TCP wants a connection", async () => {
    expect(await tellings({ tcpSocket: { port } }, 1)).toMatchObject([{ ok: true }]);
    const closed = await tellings({ tcpSocket: { port: 1 }, failureThreshold: 1 }, 1);
    expect(closed).toMatchObject([
      { ok: false, counted: true, message: expect.stringContaining("ECONNREFUSED") },
    ]);
  });

  it("by a command counts in a row", async () => {
    const probe = {
      exec: { command: ["x"] },
      initialDelaySeconds: 5,
      periodSeconds: 2,
      failureThreshold: 2,
      successThreshold: 2,
    };
    const told = await tellings(probe, 5, [1, 0, 1, 1, 0, 0, 1]);
    expect(told.map(({ ok, counted, atMs }) => [ok, counted, atMs])).toEqual([
      [false, false, 5_000],
      [false, false, 9_000],
      [false, true, 11_000],
      [true, true, 15_000],
      [false, false, 17_000],
    ]);
  });
});

describe("in a pod", () => {
  const probe = (command: string): object => ({
    exec: { command: ["/bin/sh", "-c", command] },
    periodSeconds: 0.02,
    timeoutSeconds: 10,
    failureThreshold: 1,
  });
  const volumes = [{ name: "v", emptyDir: {} }];
  const volumeMounts = [{ name: "v", mountPath: "/v" }];

  it("readiness makes it ready and takes it back", async () => {
    const cluster = await openCluster();
    const script =
      "touch /v/up; while [ ! -e /v/stop ]; do sleep 0.01; done; rm /v/up; exec sleep 600";
    createPod(cluster.api, "a", {
      volumes,
      containers: [
        shell(script, { volumeMounts, readinessProbe: probe("test -e /v/up && touch /v/stop") }),
      ],
    });
    const ready = await untilPod(cluster.api, "a", (pod) => containerOf(pod)?.ready === true);
    expect(ready.status.phase).toBe("Running");
    await untilPod(
      cluster.api,
      "a",
      (pod) =>
        containerOf(pod)?.ready === false && eventReasons(cluster.api, "a").includes("Unhealthy"),
    );
  });

  it("liveness restarts it", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      restartPolicy: "Always",
      volumes,
      containers: [
        shell(
          "test -e /v/second || { touch /v/second; exec sleep 600; }; touch /v/good; exec sleep 600",
          {
            volumeMounts,
            livenessProbe: { ...probe("test ! -e /v/second -o -e /v/good"), failureThreshold: 3 },
          },
        ),
      ],
    });
    const pod = await untilPod(
      cluster.api,
      "a",
      (one) => containerOf(one)?.restartCount === 1 && containerOf(one).state.running !== undefined,
    );
    expect(containerOf(pod).lastState.terminated.exitCode).toBe(143);
    expect(eventReasons(cluster.api, "a")).toEqual(
      expect.arrayContaining(["Unhealthy", "Killing"]),
    );
  });

  it("startup comes before the others", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", {
      volumes,
      containers: [
        shell("sleep 0.1; touch /v/started; exec sleep 600", {
          volumeMounts,
          startupProbe: { ...probe("test -e /v/started"), failureThreshold: 10_000 },
          readinessProbe: probe("test -e /v/started"),
          livenessProbe: probe("test -e /v/started"),
        }),
      ],
    });
    const pod = await untilPod(cluster.api, "a", (one) => containerOf(one)?.ready === true);
    expect(containerOf(pod).restartCount).toBe(0);
  });
});
