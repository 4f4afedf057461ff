/**
 * Work that only one process does at a time, by a Lease object of the API: leader election, and single jobs such as the
 * maintenance of a repository.
 *
 * A holder renews its lease; others may take it when it has not changed for its duration *as they saw it*: nobody's clock is
 * compared with another's, and time is counted in sleeps, so that a clock that jumps makes nobody a second holder. A holder
 * that cannot renew stops within `renewDeadlineMs`, which is shorter than the duration: its signal aborts before anybody else
 * may begin. What runs must obey that signal.
 * Proof: test/runtime/lease.test.ts.
 * @module
 */
import {
  type Clock,
  ConflictError,
  isDmError,
  type Logger,
  nsPerMs,
  silentLogger,
  systemClock,
} from "@dm/core";
import { type Lease, leases } from "@dm/crds";
import type { KubeClient } from "./kube-client.ts";

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Who holds it: different for every process, such as the pod's name and a random part. */
  readonly identity: string;
  /** Others wait this long for a holder that has gone silent. */
  readonly durationMs?: number | undefined;
  /** A holder that could not renew for this long stops. */
  readonly renewDeadlineMs?: number | undefined;
  /** Time between two renewals, and between two looks of those who wait. */
  readonly retryMs?: number | undefined;
  /** Labels of the Lease when it is made here. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export const leaseDefaults = {
  durationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryMs: 2_000,
} as const;

export interface WithLeaseOptions {
  readonly signal?: AbortSignal | undefined;
  /** False: do nothing when another one holds it. */
  readonly wait?: boolean | undefined;
}

export type LeaseResult<Result> =
  | { readonly held: true; readonly value: Result }
  /** Who holds it. */
  | { readonly held: false; readonly holder: string };

/**
 * Runs `work` while holding the lease, then gives it back. With `wait: false` one look decides, except that a holder whose
 * lease may have run out is watched for as long as that takes to be sure (at most its duration).
 * The signal given to `work` aborts when the lease is lost or the caller's signal does.
 * @throws {ConflictError} `DM_LEASE_LOST` when it was lost before `work` had ended; `work` has been waited for
 * @example
 * const result = await withLease({ client, namespace, name: "repo-ns1", identity }, (signal) => maintain(signal), { wait: false });
 * if (!result.held) log.info("Left maintenance to another process", { holder: result.holder });
 */
export async function withLease<Result>(
  options: LeaseOptions,
  work: (signal: AbortSignal) => Promise<Result>,
  { signal, wait = true }: WithLeaseOptions = {},
): Promise<LeaseResult<Result>> {
  const claim = new LeaseClaim(options);
  const holder = await claim.acquire(signal, wait);
  if (holder !== undefined) return { held: false, holder };
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const ended = new AbortController();
  const lost = new ConflictError(
    "DM_LEASE_LOST",
    `the lease ${options.namespace}/${options.name} was lost`,
    { namespace: options.namespace, name: options.name },
  );
  let isLost = false;
  const renewing = claim.renew(ended.signal).then((reason) => {
    if (reason === undefined) return;
    isLost = true;
    stop.abort(lost);
  });
  try {
    signal?.throwIfAborted();
    const value = await work(stop.signal);
    if (isLost) throw lost;
    return { held: true, value };
  } catch (error) {
    throw isLost ? lost : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    ended.abort();
    await renewing;
    if (!isLost) await claim.release();
  }
}

class LeaseClaim {
  readonly #options: LeaseOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #durationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  /** As last read or written. */
  #lease: Lease | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.logger ?? silentLogger;
    this.#durationMs = options.durationMs ?? leaseDefaults.durationMs;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? leaseDefaults.renewDeadlineMs;
    this.#retryMs = options.retryMs ?? leaseDefaults.retryMs;
    if (!(this.#retryMs < this.#renewDeadlineMs && this.#renewDeadlineMs < this.#durationMs)) {
      throw new RangeError("a lease needs retryMs < renewDeadlineMs < durationMs");
    }
    if (options.identity === "") throw new RangeError("a lease needs an identity");
  }

  /** Undefined when it is ours now, else its holder. */
  async acquire(signal: AbortSignal | undefined, wait: boolean): Promise<string | undefined> {
    let seen: string | undefined;
    let unchangedMs = 0;
    for (;;) {
      signal?.throwIfAborted();
      try {
        const lease = await this.#read(signal);
        const spec = lease?.spec ?? {};
        const holder = spec.holderIdentity ?? "";
        const record = `${lease?.metadata.uid} ${lease?.metadata.resourceVersion}`;
        if (record !== seen) {
          seen = record;
          unchangedMs = 0;
        }
        const lastsMs = (spec.leaseDurationSeconds ?? 0) * 1_000;
        const free = holder === "" || holder === this.#options.identity || unchangedMs >= lastsMs;
        if (free && (await this.#take(lease, signal))) {
          this.#log.info("Took a lease", { lease: this.#options.name });
          return undefined;
        }
        if (!free && !wait && !this.#looksAbandoned(lease)) return holder;
      } catch (error) {
        signal?.throwIfAborted();
        // A server that starts may not know anybody yet.
        const passes =
          isDmError(error, "DM_KUBE_UNAVAILABLE") || isDmError(error, "DM_KUBE_UNAUTHORIZED");
        if (!wait || !passes) throw error;
        this.#log.info("Could not look at a lease", { lease: this.#options.name, error });
      }
      await this.#clock.sleep(this.#retryMs, { signal });
      unchangedMs += this.#retryMs;
    }
  }

  /** Renews until the signal aborts (undefined), or it is lost (why). */
  async renew(signal: AbortSignal): Promise<string | undefined> {
    let sleptMs = 0;
    let renewedNs = this.#clock.nowNs();
    // A process that was frozen has slept longer than it thinks.
    const leftMs = (): number =>
      this.#renewDeadlineMs -
      Math.max(sleptMs, Number((this.#clock.nowNs() - renewedNs) / nsPerMs));
    for (;;) {
      const pauseMs = Math.min(this.#retryMs, leftMs());
      try {
        if (pauseMs > 0) await this.#clock.sleep(pauseMs, { signal });
      } catch {
        return undefined;
      }
      sleptMs += pauseMs;
      const limitMs = leftMs();
      if (limitMs <= 0) return this.#lose("it could not be renewed in time");
      const startedNs = this.#clock.nowNs();
      const attempt = new AbortController();
      const onAbort = (): void => attempt.abort(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      const timer = new AbortController();
      this.#clock.sleep(limitMs, { signal: timer.signal }).then(
        () => {
          sleptMs += limitMs;
          attempt.abort(new Error("too late"));
        },
        () => undefined,
      );
      try {
        const renewed = await this.#renewOnce(attempt.signal);
        if (renewed === undefined) return this.#lose("another one took it, or it was deleted");
        if (renewed) {
          sleptMs = 0;
          renewedNs = startedNs;
        }
      } catch (error) {
        if (signal.aborted) return undefined;
        this.#lease = undefined;
        this.#log.info("Could not renew a lease", { lease: this.#options.name, error });
      } finally {
        timer.abort();
        signal.removeEventListener("abort", onAbort);
      }
    }
  }

  /** True: renewed. False: someone changed it, but we still hold it. Undefined: we do not. */
  async #renewOnce(signal: AbortSignal): Promise<boolean | undefined> {
    const known = this.#lease;
    if (known && (await this.#take(known, signal))) return true;
    const lease = await this.#read(signal);
    if (lease?.spec?.holderIdentity !== this.#options.identity) return undefined;
    return this.#take(lease, signal);
  }

  /** So that the next one need not wait. */
  async release(): Promise<void> {
    try {
      const lease = this.#lease ?? (await this.#read(undefined));
      if (lease?.spec?.holderIdentity !== this.#options.identity) return;
      const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 };
      await this.#options.client.replace(leases, { ...lease, spec });
    } catch (error) {
      // It runs out by itself.
      this.#log.info("Could not give back a lease", { lease: this.#options.name, error });
    }
  }

  async #read(signal: AbortSignal | undefined): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#options;
    return client.get(leases, { namespace, name }, { signal });
  }

  /** Writes us into the lease as it was read. False when someone else wrote first. */
  async #take(lease: Lease | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    const { client, namespace, name, identity, labels } = this.#options;
    const now = microTime(this.#clock.nowNs());
    const ours = lease?.spec?.holderIdentity === identity;
    const transitions = lease?.spec?.leaseTransitions ?? 0;
    const spec = {
      ...lease?.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#durationMs / 1_000),
      acquireTime: ours ? (lease.spec?.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: lease && !ours ? transitions + 1 : transitions,
    };
    try {
      this.#lease = lease
        ? await client.replace(leases, { ...lease, spec }, { signal })
        : await client.create(
            leases,
            { metadata: { namespace, name, ...(labels ? { labels: { ...labels } } : {}) }, spec },
            { signal },
          );
      return true;
    } catch (error) {
      this.#lease = undefined;
      if (isDmError(error, "DM_KUBE_CONFLICT") || isDmError(error, "DM_KUBE_ALREADY_EXISTS")) {
        return false;
      }
      throw error;
    }
  }

  /** A first guess by the clocks, which only decides whether it is worth looking for longer. */
  #looksAbandoned(lease: Lease | undefined): boolean {
    const { renewTime, leaseDurationSeconds } = lease?.spec ?? {};
    const renewedMs = Date.parse(renewTime ?? "");
    const endMs = renewedMs + (leaseDurationSeconds ?? 0) * 1_000;
    return !Number.isFinite(renewedMs) || Number(this.#clock.nowNs() / nsPerMs) > endMs;
  }

  #lose(why: string): string {
    this.#log.warn("Lost a lease", { lease: this.#options.name, why });
    return why;
  }
}

/** `2026-11-22T21:13:49.961000Z`, as the API writes a MicroTime. */
export function microTime(ns: bigint): string {
  const micros = ns / 1_000n;
  const text = new Date(Number(micros / 1_000n)).toISOString().slice(0, -1);
  return `${text}${String(micros % 1_000n).padStart(3, "0")}Z`;
}
