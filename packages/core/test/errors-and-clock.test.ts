// Errors carry code, details and cause; clocks move as promised; random bytes have any length.
import { describe, expect, it } from "vitest";
import {
  AccessError,
  ConflictError,
  DmError,
  FormatError,
  IntegrityError,
  isDmError,
  manualClock,
  NotFoundError,
  nodeBuiltin,
  StorageError,
  silentLogger,
  systemClock,
  systemRandomBytes,
  UnsupportedError,
} from "../src/index.ts";

describe("errors", () => {
  it.each([
    AccessError,
    ConflictError,
    FormatError,
    IntegrityError,
    NotFoundError,
    StorageError,
    UnsupportedError,
  ])("%o", (ErrorClass) => {
    const cause = new Error("below");
    const error = new ErrorClass("DM_X", "what happened", { blobId: "p1" }, { cause });
    expect(error).toBeInstanceOf(DmError);
    expect(error).toMatchObject({
      name: ErrorClass.name,
      code: "DM_X",
      message: "what happened",
      cause,
    });
    expect(error.details).toEqual({ blobId: "p1" });
    expect(isDmError(error)).toBe(true);
    expect(isDmError(error, "DM_X")).toBe(true);
    expect(isDmError(error, "DM_Y")).toBe(false);
  });

  it("are known by shape, so that two copies of this package agree", () => {
    expect(isDmError(Object.assign(new Error("x"), { code: "DM_X" }))).toBe(true);
    expect(isDmError(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe(false);
    expect(isDmError({ code: "DM_X" })).toBe(false);
    expect(isDmError(undefined)).toBe(false);
  });

  it("say whether a retry may help only when the outside failed", () => {
    expect(new StorageError("DM_X", "x").retryable).toBe(false);
    expect(new StorageError("DM_X", "x", {}, { retryable: true }).retryable).toBe(true);
  });
});

describe("clocks", () => {
  it("a manual clock moves only when told", async () => {
    const clock = manualClock(1_000n);
    expect(clock.nowNs()).toBe(1_000n);
    clock.advance(1.5);
    expect(clock.nowNs()).toBe(1_501_000n);
    await clock.sleep(2);
    expect(clock.nowNs()).toBe(3_501_000n);
    clock.set(5n);
    expect(clock.nowNs()).toBe(5n);
    await expect(clock.sleep(1, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow(
      "no",
    );
  });

  it("the system clock is that of the machine and does not go back", async () => {
    let last = 0n;
    for (let reading = 0; reading < 1000; reading += 1) {
      const now = systemClock.nowNs();
      expect(now >= last).toBe(true);
      last = now;
    }
    expect(Math.abs(Number(last / 1_000_000n) - Date.now())).toBeLessThan(200);
    await systemClock.sleep(2);
    expect(systemClock.nowNs() - last).toBeGreaterThan(1_000_000n);
  });

  it("sleeping ends with an abort", async () => {
    const sleep = systemClock.sleep(60_000, { signal: AbortSignal.timeout(5) });
    await expect(sleep).rejects.toMatchObject({ name: "TimeoutError" });
    await expect(
      systemClock.sleep(1, { signal: AbortSignal.abort(new Error("no")) }),
    ).rejects.toThrow("no");
  });
});

it("random bytes have any length and differ", () => {
  expect(systemRandomBytes(0).length).toBe(0);
  expect(systemRandomBytes(200_000).length).toBe(200_000);
  expect(systemRandomBytes(16)).not.toEqual(systemRandomBytes(16));
  expect(systemRandomBytes(200_000).subarray(-16)).not.toEqual(new Uint8Array(16));
});

it("built-in modules are found by name, and nothing else is", () => {
  expect(nodeBuiltin<typeof import("node:path")>("node:path")?.posix.sep).toBe("/");
  expect(nodeBuiltin("node:nonsense")).toBeUndefined();
});

it("the silent logger accepts everything", () => {
  for (const level of ["debug", "info", "warn", "error"] as const)
    expect(silentLogger[level]("x", { y: 1 })).toBeUndefined();
});
