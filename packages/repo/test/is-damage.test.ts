// What is damage of the data, for which others go on, and what ends the work: every class of errors, and the store that is gone.
import {
  AccessError,
  ConflictError,
  FormatError,
  IntegrityError,
  NotFoundError,
  StorageError,
  UnsupportedError,
} from "@dm/core";
import { expect, it } from "vitest";
import { isDamage } from "../src/index.ts";

it.each([
  [new FormatError("DM_PACK_TRUNCATED", "short"), true],
  [new IntegrityError("DM_CONTENT_ALTERED", "altered"), true],
  [new NotFoundError("DM_PACK_NOT_FOUND", "gone"), true],
  [new UnsupportedError("DM_FORMAT_UNSUPPORTED", "new"), true],
  [new NotFoundError("DM_STORE_NOT_FOUND", "no bucket"), false],
  [new AccessError("DM_STORE_ACCESS_DENIED", "refused"), false],
  [new ConflictError("DM_REPOSITORY_REPLACED", "another"), false],
  [new StorageError("DM_STORE_FAILED", "down"), false],
  [new Error("FormatError"), false],
  [undefined, false],
])("%s is damage: %s", (error, expected) => {
  expect(isDamage(error)).toBe(expected);
});
