/** Errors that fail an object, and errors that only ask to come back. */
import { AccessError, ConflictError, FormatError, NotFoundError, StorageError } from "@dm/core";
import { expect, it } from "vitest";
import { isTransient } from "../../src/node-agent/transient.ts";

it.each([
  [
    "row 58: 429 and 5xx",
    new StorageError("DM_KUBE_UNAVAILABLE", "", {}, { retryable: true }),
    true,
  ],
  ["row 56: 409", new ConflictError("DM_KUBE_CONFLICT", ""), true],
  ["row 61: 401", new AccessError("DM_KUBE_UNAUTHORIZED", ""), true],
  ["row 54: 410", new ConflictError("DM_KUBE_EXPIRED", ""), true],
  ["403", new AccessError("DM_KUBE_FORBIDDEN", ""), false],
  ["422", new FormatError("DM_KUBE_INVALID", ""), false],
  ["what an exposer refuses", new NotFoundError("DM_EXPOSE_SOURCE_NOT_FOUND", ""), false],
  ["a deletion that is stuck", new StorageError("DM_EXPOSE_DELETION_STUCK", ""), false],
  ["a mistake of ours", new TypeError("x"), false],
] as const)("%s", (_, error, expected) => {
  expect(isTransient(error)).toBe(expected);
});

it("an abort fails nothing", () => {
  expect(isTransient(new Error("stopping"), AbortSignal.abort())).toBe(true);
});
