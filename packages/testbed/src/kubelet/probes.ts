/**
 * Probes: asks a container again and again how it is, and tells when enough answers agree.
 * Proof: test/kubelet/probes.test.ts.
 * @module
 */
import { connect } from "node:net";
import type { Clock } from "@dm/core";
import type { Json } from "../kube-object.ts";

export interface ProbeTarget {
  /** Address of the pod. */
  readonly host: string;
  /** The container's spec, for the names of its ports. */
  readonly container: Json;
  /** Runs a command in the container; answers its exit code and output. */
  exec(command: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }>;
}

export interface ProbeResult {
  readonly ok: boolean;
  readonly message: string;
}

export interface ProbeRunOptions {
  readonly clock: Clock;
  readonly target: ProbeTarget;
  readonly signal: AbortSignal;
  /** Called when the threshold of successes or failures is reached, and for every single failure with `counted: false`. */
  readonly tell: (result: ProbeResult & { readonly counted: boolean }) => void;
}

export async function runProbe(probe: Json, options: ProbeRunOptions): Promise<void> {
  const { clock, target, signal, tell } = options;
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  const thresholds = { true: probe.successThreshold ?? 1, false: probe.failureThreshold ?? 3 };
  let last: boolean | undefined;
  let inARow = 0;
  try {
    if (probe.initialDelaySeconds > 0) {
      await clock.sleep(probe.initialDelaySeconds * 1000, { signal });
    }
    for (;;) {
      const result = await probeOnce(probe, target, signal);
      signal.throwIfAborted();
      inARow = result.ok === last ? inARow + 1 : 1;
      last = result.ok;
      const counted = inARow >= thresholds[`${result.ok}`];
      if (counted || !result.ok) tell({ ...result, counted });
      await clock.sleep(periodMs, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function probeOnce(
  probe: Json,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const timeout = AbortSignal.timeout((probe.timeoutSeconds ?? 1) * 1000);
  const limit = AbortSignal.any([signal, timeout]);
  try {
    if (probe.httpGet !== undefined) return await httpGet(probe.httpGet, target, limit);
    if (probe.tcpSocket !== undefined) {
      return await tcpConnect(
        probe.tcpSocket.host ?? target.host,
        portOf(probe.tcpSocket.port, target),
        limit,
      );
    }
    if (probe.exec !== undefined) {
      const { code, output } = await target.exec(probe.exec.command ?? [], limit);
      return { ok: code === 0, message: output.slice(0, 1024) };
    }
    return { ok: false, message: "unsupported kind of probe" };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return { ok: false, message: cause instanceof Error ? cause.message : String(cause) };
  }
}

async function httpGet(get: Json, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const scheme = (get.scheme ?? "HTTP").toLowerCase();
  const path: string = get.path ?? "/";
  const port = portOf(get.port, target);
  const url = `${scheme}://${get.host ?? target.host}:${port}${path.startsWith("/") ? "" : "/"}${path}`;
  const headers = Object.fromEntries(
    (get.httpHeaders ?? []).map(({ name, value }: Json) => [name, value]),
  );
  const response = await fetch(url, { headers, signal, redirect: "manual" });
  await response.body?.cancel();
  const ok = response.status >= 200 && response.status < 400;
  return { ok, message: ok ? "" : `HTTP probe failed with statuscode: ${response.status}` };
}

function tcpConnect(host: string, port: number, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, signal });
    socket.once("connect", () => {
      socket.destroy();
      resolve({ ok: true, message: "" });
    });
    socket.once("error", (error) => resolve({ ok: false, message: error.message }));
  });
}

function portOf(port: number | string, { container }: ProbeTarget): number {
  if (typeof port === "number") return port;
  const named = (container.ports ?? []).find(({ name }: Json) => name === port);
  return named?.containerPort ?? Number(port);
}
