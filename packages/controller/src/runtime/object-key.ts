/**
 * Names of objects as one text, for maps and queues.
 * Proof: test/runtime/object-store.test.ts.
 * @module
 */
import type { KubeObject } from "@dm/crds";
import type { ObjectKey } from "./kube-client.ts";

/** `namespace/name`, or `name` for kinds without a namespace. Neither part can hold a slash. */
export function keyText({ namespace, name }: ObjectKey): string {
  return namespace ? `${namespace}/${name}` : name;
}

/** The opposite of {@link keyText}. */
export function parseKeyText(text: string): ObjectKey {
  const slash = text.indexOf("/");
  return slash < 0
    ? { name: text }
    : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** @throws {TypeError} for an object without a name, which the API server has not stored yet */
export function keyOf({ metadata }: KubeObject): ObjectKey {
  const { namespace, name } = metadata;
  if (name === undefined || name === "") throw new TypeError("the object has no name yet");
  return namespace ? { namespace, name } : { name };
}
