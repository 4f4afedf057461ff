/** Errors and warnings by what they concern, each once. */
import { expect, it } from "vitest";
import { countMessages, Messages } from "../../src/backup/messages.ts";

it("are about a namespace, or about the cluster", () => {
  const messages = new Messages();
  expect(messages.all).toEqual({});
  messages.about("shop", "a");
  messages.about("shop", "a");
  messages.about("", "b");
  expect(messages.all).toEqual({ cluster: ["b"], namespaces: { shop: ["a"] } });
});

it("go on from those before, and leave them as they are", () => {
  const before = { velero: ["x"], namespaces: { shop: ["a"] } };
  const messages = new Messages(before);
  messages.about("shop", "b");
  expect(messages.all).toEqual({ velero: ["x"], namespaces: { shop: ["a", "b"] } });
  expect(before.namespaces.shop).toEqual(["a"]);
  expect(countMessages(messages.all)).toBe(3);
  expect(countMessages({})).toBe(0);
});
