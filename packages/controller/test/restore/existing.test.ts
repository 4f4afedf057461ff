/** What becomes of objects that are there already, by the Restore's policy; and which of them this Restore has made itself. */
import { labels, type Restore } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { decideExisting, isMadeBy, withRestoreLabels } from "../../src/restore/existing.ts";
import { object } from "./objects.ts";

const restore = (existingResourcePolicy?: string): Restore =>
  ({
    metadata: { name: "back", creationTimestamp: "2026-01-01T10:00:00Z" },
    spec: { backupName: "nightly", ...(existingResourcePolicy && { existingResourcePolicy }) },
  }) as Restore;
const config = object("v1", "ConfigMap", "c", { data: { a: "1" } });
const wanted = withRestoreLabels(config, restore());
const stored = {
  uid: "u",
  resourceVersion: "5",
  creationTimestamp: "2026-01-01T00:00:00Z",
  managedFields: [{}],
};
const found = object("v1", "ConfigMap", "c", { data: { a: "1" }, status: {} }, stored);
const other = object("v1", "ConfigMap", "c", { data: { a: "2", b: "3" } }, stored);
const ours = { [labels.backupName]: "nightly", [labels.restoreName]: "back" };

describe("an object that is there", () => {
  it("and is the same is left without a word, whoever made it and when", () => {
    expect(decideExisting(restore(), "configmaps", wanted, found)).toEqual({ do: "leave" });
  });

  it("and differs is left with a warning", () => {
    const warning = (policy?: string): unknown =>
      decideExisting(restore(policy), "configmaps", wanted, other);
    const rest =
      "already exists. Warning: the in-cluster version is different than the backed-up version";
    expect(warning()).toEqual({ do: "leave", warning: `could not restore, ConfigMap:c ${rest}` });
    expect(warning("none")).toEqual({
      do: "leave",
      warning: `could not restore, ConfigMap "c" ${rest}`,
    });
  });

  it("is patched to what the backup has, when the policy says update", () => {
    expect(decideExisting(restore("update"), "configmaps", wanted, other)).toEqual({
      do: "patch",
      as: "updated",
      patch: { metadata: { labels: ours }, data: { a: "1", b: null } },
      labelsOnly: { metadata: { labels: ours } },
    });
  });

  it("and is the same gets the labels then, and still counts as skipped", () => {
    expect(decideExisting(restore("update"), "configmaps", wanted, found)).toEqual({
      do: "patch",
      as: "skipped",
      patch: { metadata: { labels: ours } },
    });
    const labelled = object(
      "v1",
      "ConfigMap",
      "c",
      { data: { a: "1" } },
      { ...stored, labels: ours },
    );
    expect(decideExisting(restore("update"), "configmaps", wanted, labelled)).toEqual({
      do: "leave",
    });
  });
});

it("service accounts get what they lack, and keep what they have", () => {
  const account = (more: object, metadata: object) =>
    object("v1", "ServiceAccount", "default", more, metadata);
  const backedUp = withRestoreLabels(
    account(
      { secrets: [{ name: "theirs" }], imagePullSecrets: [{ name: "pull" }] },
      { labels: { a: "backup", b: "backup" }, annotations: { note: "backup" } },
    ),
    restore(),
  );
  const here = account({ secrets: [{ name: "ours" }] }, { ...stored, labels: { a: "here" } });
  expect(decideExisting(restore(), "serviceaccounts", backedUp, here)).toEqual({
    do: "patch",
    as: "updated",
    patch: {
      metadata: { labels: { b: "backup" }, annotations: { note: "backup" } },
      secrets: [{ name: "ours" }, { name: "theirs" }],
      imagePullSecrets: [{ name: "pull" }],
    },
  });
  const same = account({}, stored);
  expect(
    decideExisting(
      restore(),
      "serviceaccounts",
      withRestoreLabels(account({}, {}), restore()),
      same,
    ),
  ).toEqual({
    do: "leave",
  });
});

it.each([
  ["made since", { labels: ours, creationTimestamp: "2026-01-01T10:00:00Z" }, true],
  [
    "of a former Restore of this name",
    { labels: ours, creationTimestamp: "2026-01-01T09:59:59Z" },
    false,
  ],
  [
    "of another Restore",
    { labels: { [labels.restoreName]: "x" }, creationTimestamp: "2026-01-01T11:00:00Z" },
    false,
  ],
  ["of nobody", { creationTimestamp: "2026-01-01T11:00:00Z" }, false],
])("an object %s is ours: %s", (_which, metadata, is) => {
  expect(isMadeBy(restore(), object("v1", "Pod", "p", {}, metadata))).toBe(is);
});
