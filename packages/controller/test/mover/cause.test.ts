// What a status message says of an error.
import { StorageError } from "@dm/core";
import { expect, it } from "vitest";
import { causeOf } from "../../src/mover/cause.ts";

it.each<[unknown, string]>([
  [
    new StorageError("DM_X", "the disk is full", {}, { cause: new Error("hidden") }),
    "the disk is full",
  ],
  [Object.assign(new Error("read failed"), { code: "EIO" }), "EIO: read failed"],
  [Object.assign(new Error("EIO: read failed"), { code: "EIO" }), "EIO: read failed"],
  [Object.assign(new Error("odd"), { code: 5 }), "odd"],
  ["text", "text"],
])("%s", (error, text) => {
  expect(causeOf(error)).toBe(text);
});
