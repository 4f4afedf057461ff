/** What is written down of a Restore, where it depends on names alone. */
import { expect, it } from "vitest";
import { messagesOf, withMessages } from "../../src/restore/restore-record.ts";

it("messages come together by namespace, each once, whatever a namespace is called", () => {
  const of = (namespace: string, ...messages: string[]) =>
    messages.map((message) => ({ namespace, message }));
  const before = messagesOf([...of("shop", "a", "b"), ...of("", "c")]);
  const more = messagesOf([...of("shop", "b"), ...of("constructor", "d")]);
  const both = {
    cluster: ["c"],
    namespaces: { shop: ["a", "b"], constructor: ["d"] },
  };
  expect(withMessages(before, more)).toEqual(both);
  expect(withMessages(both, more)).toEqual(both);
});
