// Keys of labels and annotations are valid, distinct, and those that Velero's own objects carry.
import { describe, expect, it } from "vitest";
import { annotations, exposerPodGroups, finalizers, labels } from "../src/index.ts";
import objects from "./data/velero-objects.json" with { type: "json" };

/** As Kubernetes wants keys: an optional DNS name, a slash, and up to 63 characters. */
const key =
  /^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

describe.each(Object.entries({ labels, annotations, finalizers }))("%s", (_name, constants) => {
  it("are valid and distinct", () => {
    const values = Object.values(constants);
    expect(values.filter((value) => !key.test(value))).toEqual([]);
    expect(new Set(values).size).toBe(values.length);
  });
});

it("are those on objects that Velero wrote", () => {
  const used = [...objects.main, ...objects["1.12"]].flatMap(({ metadata }) => [
    ...Object.keys("labels" in metadata ? metadata.labels : {}),
    ...Object.keys("annotations" in metadata ? metadata.annotations : {}),
  ]);
  const known = new Set<string>([...Object.values(labels), ...Object.values(annotations)]);
  expect([...new Set(used)].filter((name) => !known.has(name))).toEqual(["kcp.io/cluster"]);
});

it("name the two groups of hosting pods", () => {
  expect(exposerPodGroups).toEqual({
    snapshot: "snapshot-exposer",
    genericRestore: "generic-restore-exposer",
  });
});
