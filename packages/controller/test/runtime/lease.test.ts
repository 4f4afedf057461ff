/**
 * At no moment do two hold one lease, whatever happens to holders, server and clocks; and the work of a dead holder is taken over
 * in bounded time. On the embedded API server in virtual time.
 */
import { isDmError, manualClock } from "@dm/core";
import { type Lease, leases } from "@dm/crds";
import type { VirtualClock } from "@dm/testbed";
import { describe, expect, it } from "vitest";
import { type LeaseOptions, microTime, withLease } from "../../src/runtime/lease.ts";
import { startMs, type TestApi, testApi } from "./api.ts";

const name = "dm-leader";
const key = { namespace: "default", name };

function claim(api: TestApi, identity: string, more: Partial<LeaseOptions> = {}): LeaseOptions {
  return { client: api.client, clock: api.clock, ...key, identity, ...more };
}

const read = async (api: TestApi): Promise<Lease> => (await api.client.get(leases, key))!;

/** Works until told to stop; its begin and end are written down. */
function worker(log: string[], identity: string): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    log.push(`${identity} begins`);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    log.push(`${identity} ends`);
  };
}

const codeOf = async (promise: Promise<unknown>): Promise<string | undefined> => {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return isDmError(error) ? error.code : String(error);
  }
};

describe("a lease", () => {
  it("is made, renewed and given back, and written as others read it", async () => {
    const api = await testApi();
    const seen: Lease[] = [];
    const result = await withLease(claim(api, "one", { labels: { a: "b" } }), async () => {
      seen.push(await read(api));
      const first = seen[0]?.spec?.renewTime;
      await api.until(async () => (await read(api)).spec?.renewTime !== first);
      seen.push(await read(api));
      return 7;
    });
    expect(result).toEqual({ held: true, value: 7 });
    const [begun, renewed] = seen;
    expect(begun?.metadata.labels).toEqual({ a: "b" });
    expect(begun?.spec).toEqual({
      holderIdentity: "one",
      leaseDurationSeconds: 15,
      acquireTime: "2026-01-01T00:00:00.000000Z",
      renewTime: "2026-01-01T00:00:00.000000Z",
      leaseTransitions: 0,
    });
    expect(renewed?.spec).toMatchObject({
      acquireTime: begun?.spec?.acquireTime,
      renewTime: "2026-01-01T00:00:02.000000Z",
    });
    expect((await read(api)).spec?.holderIdentity).toBe("");
  });

  it("goes over at once when it is given back, and counts the change", async () => {
    const api = await testApi();
    const log: string[] = [];
    const first = new AbortController();
    const one = withLease(claim(api, "one"), worker(log, "one"), { signal: first.signal });
    await api.until(() => log.length === 1);
    api.background((signal) => withLease(claim(api, "two"), worker(log, "two"), { signal }));
    await api.pass(60_000, 500);
    expect(log).toEqual(["one begins"]);
    first.abort(new Error("stopped"));
    await one;
    await api.until(() => log.length === 3);
    expect(log).toEqual(["one begins", "one ends", "two begins"]);
    expect((await read(api)).spec).toMatchObject({ holderIdentity: "two", leaseTransitions: 1 });
  });

  it("of a holder that died is taken after its duration, not before", async () => {
    const api = await testApi();
    const dead: Lease = {
      metadata: key,
      spec: {
        holderIdentity: "dead",
        leaseDurationSeconds: 15,
        // Long ago: by whose clock? Nobody's is compared.
        renewTime: "2020-01-01T00:00:00.000000Z",
        leaseTransitions: 4,
      },
    };
    await api.client.create(leases, dead);
    const log: string[] = [];
    api.background((signal) => withLease(claim(api, "two"), worker(log, "two"), { signal }));
    await api.pass(14_000, 200);
    expect(log).toEqual([]);
    await api.until(() => log.length === 1);
    expect(Number(api.clock.nowNs() / 1_000_000n) - startMs).toBeLessThan(40_000);
    expect((await read(api)).spec).toMatchObject({ holderIdentity: "two", leaseTransitions: 5 });
  });

  it("of a living holder is not waited for, if one does not want to wait", async () => {
    const api = await testApi();
    const log: string[] = [];
    api.background((signal) => withLease(claim(api, "one"), worker(log, "one"), { signal }));
    await api.until(() => log.length === 1);
    const work = worker(log, "two");
    expect(await withLease(claim(api, "two"), work, { wait: false })).toEqual({
      held: false,
      holder: "one",
    });
    expect(log).toEqual(["one begins"]);
  });

  it("of a dead holder is taken by one that does not want to wait for the living", async () => {
    const api = await testApi();
    const dead: Lease = {
      metadata: key,
      spec: {
        holderIdentity: "dead",
        leaseDurationSeconds: 15,
        renewTime: "2020-01-01T00:00:00.000000Z",
      },
    };
    await api.client.create(leases, dead);
    let done = false;
    const result = withLease(
      claim(api, "two"),
      async () => {
        done = true;
      },
      { wait: false },
    );
    await api.until(() => done);
    expect(await result).toEqual({ held: true, value: undefined });
  });

  it("that cannot be renewed ends its work before anybody else may begin", async () => {
    const api = await testApi();
    const log: string[] = [];
    const one = withLease(claim(api, "one"), worker(log, "one"));
    const lost = codeOf(one);
    await api.until(() => log.length === 1);
    await api.pass(5_000);
    const downNs = api.clock.nowNs();
    api.proxy.down = true;
    await api.until(() => log.includes("one ends"));
    expect(await lost).toBe("DM_LEASE_LOST");
    const heldMs = Number((api.clock.nowNs() - downNs) / 1_000_000n);
    expect(heldMs).toBeLessThanOrEqual(10_100);
    expect(heldMs).toBeGreaterThan(7_000);
    // Still written as the holder: whoever comes waits for the whole duration.
    api.proxy.down = false;
    expect((await read(api)).spec?.holderIdentity).toBe("one");
  });

  it("survives errors, conflicts and lost answers that are shorter than its deadline", async () => {
    const api = await testApi();
    const log: string[] = [];
    api.background((signal) => withLease(claim(api, "one"), worker(log, "one"), { signal }));
    await api.until(() => log.length === 1);
    let turn = 0;
    api.proxy.fault = ({ method }) => {
      if (method !== "PUT") return undefined;
      turn += 1;
      // Two of three fail: unavailable, or written although the answer says otherwise.
      if (turn % 3 === 0) return undefined;
      return { status: 500, reason: "InternalError", afterwards: turn % 3 === 1 };
    };
    await api.pass(120_000, 250);
    expect(turn).toBeGreaterThan(20);
    expect(log).toEqual(["one begins"]);
    api.cluster.modify("leases.coordination.k8s.io", "default", name, (object) => {
      object.metadata.labels = { edited: "by a user" };
    });
    api.proxy.fault = () => undefined;
    await api.pass(30_000, 250);
    expect(log).toEqual(["one begins"]);
    expect((await read(api)).metadata.labels).toEqual({ edited: "by a user" });
  });

  it("that someone takes or deletes is lost at the next renewal", async () => {
    for (const how of ["take", "delete"]) {
      const api = await testApi();
      const log: string[] = [];
      const lost = codeOf(withLease(claim(api, "one"), worker(log, "one")));
      await api.until(() => log.length === 1);
      const resource = "leases.coordination.k8s.io";
      if (how === "delete") api.cluster.delete(resource, "default", name);
      else {
        api.cluster.modify(resource, "default", name, (object) => {
          object["spec"] = { holderIdentity: "usurper", leaseDurationSeconds: 15 };
        });
      }
      await api.until(() => log.length === 2);
      expect(await lost).toBe("DM_LEASE_LOST");
    }
  });

  it("row 60: is not taken from the living by a clock that jumps", async () => {
    const api = await testApi();
    const log: string[] = [];
    api.background((signal) => withLease(claim(api, "one"), worker(log, "one"), { signal }));
    await api.until(() => log.length === 1);
    const jumping = jumpingClock(api.clock);
    const second = claim(api, "two", { clock: jumping });
    api.background((signal) => withLease(second, worker(log, "two"), { signal }));
    for (const hours of [1, -2, 1]) {
      await api.pass(10_000, 250);
      jumping.jump(hours * 3_600_000);
    }
    await api.pass(30_000, 250);
    expect(log).toEqual(["one begins"]);
  });

  it("of a holder that was frozen for too long is lost when it wakes", async () => {
    const api = await testApi();
    const log: string[] = [];
    const jumping = jumpingClock(api.clock);
    const lost = codeOf(withLease(claim(api, "one", { clock: jumping }), worker(log, "one")));
    await api.until(() => log.length === 1);
    jumping.jump(60_000);
    await api.until(() => log.length === 2);
    expect(await lost).toBe("DM_LEASE_LOST");
  });

  it("is never held by two, however they come, go and fail", async () => {
    const api = await testApi();
    let holders = 0;
    let most = 0;
    let turns = 0;
    const chance = sequence(7);
    api.proxy.fault = () =>
      chance() < 0.2
        ? { status: 503, reason: "ServiceUnavailable", afterwards: chance() < 0.5 }
        : undefined;
    const contender = async (identity: string, signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) {
        const work = async (held: AbortSignal): Promise<void> => {
          holders += 1;
          turns += 1;
          most = Math.max(most, holders);
          const pauseMs = chance() * 20_000;
          await api.clock.sleep(pauseMs, { signal: held }).catch(() => undefined);
          holders -= 1;
          if (chance() < 0.3) throw new Error("crashed");
        };
        await withLease(claim(api, identity), work, { signal }).catch(() => undefined);
        await api.clock.sleep(chance() * 3_000, { signal }).catch(() => undefined);
      }
    };
    for (const identity of ["one", "two", "three"]) {
      api.background((signal) => contender(identity, signal));
    }
    await api.pass(300_000, 500);
    expect(most).toBe(1);
    expect(turns).toBeGreaterThan(10);
  });

  it("stops waiting when told to", async () => {
    const api = await testApi();
    const log: string[] = [];
    api.background((signal) => withLease(claim(api, "one"), worker(log, "one"), { signal }));
    await api.until(() => log.length === 1);
    const stop = new AbortController();
    const two = withLease(claim(api, "two"), worker(log, "two"), { signal: stop.signal });
    await api.pass(3_000);
    stop.abort(new Error("enough"));
    await expect(two).rejects.toThrow("enough");
    expect(log).toEqual(["one begins"]);
  });

  it("needs times that fit together, and an identity", async () => {
    const api = await testApi();
    const never = async (): Promise<void> => undefined;
    const times = { durationMs: 10_000, renewDeadlineMs: 10_000 };
    await expect(withLease(claim(api, "one", times), never)).rejects.toThrow(RangeError);
    await expect(withLease(claim(api, ""), never)).rejects.toThrow(RangeError);
  });

  it("passes on what its work throws, and is given back", async () => {
    const api = await testApi();
    const work = async (): Promise<void> => {
      throw new Error("broken");
    };
    await expect(withLease(claim(api, "one"), work)).rejects.toThrow("broken");
    expect((await read(api)).spec?.holderIdentity).toBe("");
  });
});

describe("a MicroTime", () => {
  it("has six decimals", () => {
    const at = manualClock(BigInt(Date.parse("2026-11-22T21:13:49.961Z")) * 1_000_000n + 12_345n);
    expect(microTime(at.nowNs())).toBe("2026-11-22T21:13:49.961012Z");
    expect(microTime(0n)).toBe("1970-01-01T00:00:00.000000Z");
  });
});

interface JumpingClock extends Pick<VirtualClock, "nowNs" | "sleep"> {
  jump(ms: number): void;
}

/** Sleeps as long as others, but shows another time. */
function jumpingClock(clock: VirtualClock): JumpingClock {
  let offsetNs = 0n;
  return {
    nowNs: () => clock.nowNs() + offsetNs,
    sleep: (ms, options) => clock.sleep(ms, options),
    jump(ms) {
      offsetNs += BigInt(ms) * 1_000_000n;
    },
  };
}

/** Numbers in [0, 1) that are the same in every run. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
