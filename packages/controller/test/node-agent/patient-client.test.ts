/** A bad moment of the API server costs a moment; a long one, or any other answer, is the caller's. */
import { ConflictError, manualClock, nsPerMs, StorageError } from "@dm/core";
import { pods } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { patientClient } from "../../src/node-agent/patient-client.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

const unavailable = (retryAfterMs?: number) =>
  new StorageError("DM_KUBE_UNAVAILABLE", "", retryAfterMs === undefined ? {} : { retryAfterMs }, {
    retryable: true,
  });

function failing(errors: Error[]) {
  const clock = manualClock(0n);
  const client = {
    get: async () => {
      const error = errors.shift();
      if (error) throw error;
      return undefined;
    },
  } as unknown as KubeClient;
  return {
    get: () => patientClient(client, { clock }).get(pods, { name: "x" }),
    waitedMs: () => Number(clock.nowNs() / nsPerMs),
  };
}

describe("patientClient", () => {
  it("asks again, after longer and longer waits", async () => {
    const { get, waitedMs } = failing([unavailable(), unavailable(), unavailable()]);
    await expect(get()).resolves.toBeUndefined();
    expect(waitedMs()).toBe(700);
  });

  it("gives up after the fourth time", async () => {
    const { get, waitedMs } = failing(Array.from({ length: 4 }, () => unavailable()));
    await expect(get()).rejects.toMatchObject({ code: "DM_KUBE_UNAVAILABLE" });
    expect(waitedMs()).toBe(700);
  });

  it("waits as the server asks, but not for long", async () => {
    const soon = failing([unavailable(2_000)]);
    await soon.get();
    expect(soon.waitedMs()).toBe(2_000);
    await expect(failing([unavailable(60_000)]).get()).rejects.toThrow();
  });

  it("passes on what asking again does not mend", async () => {
    const { get } = failing([new ConflictError("DM_KUBE_CONFLICT", "")]);
    await expect(get()).rejects.toMatchObject({ code: "DM_KUBE_CONFLICT" });
  });
});
