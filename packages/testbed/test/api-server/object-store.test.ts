// The store under the rules: one counter, keys in order, a history of bounded length.
import { expect, it } from "vitest";
import { ObjectStore, storeKey } from "../../src/api-server/object-store.ts";
import type { StoredObject } from "../../src/index.ts";

const object = (namespace: string, name: string): StoredObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace, uid: name, resourceVersion: "", creationTimestamp: "" },
});

const put = (store: ObjectStore, resource: string, namespace: string, name: string): number =>
  Number(
    store.put(resource, storeKey(namespace, name), object(namespace, name)).metadata
      .resourceVersion,
  );

it("counts every change of every resource with one counter", () => {
  const store = new ObjectStore({ version: 41 });
  expect(put(store, "a", "x", "1")).toBe(42);
  expect(put(store, "b", "x", "1")).toBe(43);
  expect(store.remove("a", "x/1")?.metadata.resourceVersion).toBe("44");
  expect(store.version).toBe(44);
  expect(store.remove("a", "x/1")).toBeUndefined();
  expect(store.version).toBe(44);
});

it("lists by namespace and name, and one namespace without its neighbours", () => {
  const store = new ObjectStore();
  for (const [namespace, name] of [
    ["b", "1"],
    ["a", "2"],
    ["a", "1"],
    ["a-b", "1"],
  ]) {
    put(store, "r", namespace as string, name as string);
  }
  const keys = (prefix = ""): string[] => [...store.entries("r", prefix)].map(([key]) => key);
  expect(keys()).toEqual(["a-b/1", "a/1", "a/2", "b/1"]);
  expect(keys("a/")).toEqual(["a/1", "a/2"]);
  expect(keys("c/")).toEqual([]);
});

it("gives what changed since a version, or says that it no longer can", () => {
  const store = new ObjectStore();
  const first = put(store, "r", "x", "1");
  put(store, "other", "x", "1");
  put(store, "r", "x", "2");
  store.remove("r", "x/1");
  expect(
    store.since("r", first).map(({ type, object }) => `${type} ${object.metadata.name}`),
  ).toEqual(["ADDED 2", "DELETED 1"]);
  expect(store.since("r", store.version)).toEqual([]);
  store.compact();
  expect(store.since("r", store.version)).toEqual([]);
  expect(() => store.since("r", first)).toThrow(expect.objectContaining({ status: 410 }));
  expect(() => store.since("r", 1000)).toThrow("too large resource version: 1000");
});

it("keeps a bounded history", () => {
  const store = new ObjectStore();
  const first = put(store, "r", "x", "1");
  for (let round = 0; round < 12_000; round++) put(store, "r", "x", "1");
  expect(() => store.since("r", first)).toThrow("too old resource version");
  expect(store.since("r", store.version - 4000)).toHaveLength(4000);
});

it("tells listeners in order, with what was before", () => {
  const store = new ObjectStore();
  const heard: string[] = [];
  const stop = store.listen("r", ({ type, previous, version }) => {
    heard.push(`${type} ${previous?.metadata.resourceVersion ?? "-"} ${version}`);
  });
  put(store, "r", "x", "1");
  put(store, "r", "x", "1");
  store.remove("r", "x/1");
  stop();
  put(store, "r", "x", "1");
  expect(heard).toEqual(["ADDED - 2", "MODIFIED 2 3", "DELETED 3 4"]);
});
