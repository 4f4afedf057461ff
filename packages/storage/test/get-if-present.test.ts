// A blob that is not there is no failure; a store that is gone, or fails, is one.
import { NotFoundError, StorageError } from "@dm/core";
import { expect, it } from "vitest";
import { getIfPresent, memoryStore } from "../src/index.ts";

it("a blob that is there is read, one that is not is undefined", async () => {
  const store = memoryStore();
  await store.put("p1", Uint8Array.of(1, 2));
  expect(await getIfPresent(store, "p1")).toEqual(Uint8Array.of(1, 2));
  expect(await getIfPresent(store, "p2")).toBeUndefined();
});

it.each([
  new NotFoundError("DM_STORE_NOT_FOUND", "no bucket"),
  new StorageError("DM_STORE_FAILED", "the line is cut"),
])("%s is thrown", async (failure) => {
  const get = () => Promise.reject(failure);
  await expect(getIfPresent({ get }, "p1")).rejects.toBe(failure);
});

it("an abort is thrown, not taken for an answer", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await expect(getIfPresent(memoryStore(), "p1", { signal })).rejects.toBe(reason);
});
