// What holds for a source out of several policies: the most specific of each field, lists united or taken as a whole, what
// stops inheritance, where each field comes from; against the real kopia in test/policy.kopia.test.ts.
import { expect, it } from "vitest";
import {
  defaultPolicy,
  effectivePolicy,
  emptyPolicy,
  globalPolicyTarget,
  type Policy,
  type PolicyTarget,
  policyLabels,
  setPolicy,
} from "../src/index.ts";
import { mergePolicies } from "../src/policy/effective-policy.ts";
import { newRepository } from "./new-repository.ts";

const path: PolicyTarget = { host: "h", userName: "u", path: "/a/b" };
const parent = { ...path, path: "/a" };
const user = { ...path, path: "" };
const host = { ...user, userName: "" };

type Change = Partial<Policy>;
const layers = (...changes: [PolicyTarget, Change][]) =>
  changes.map(([target, change]) => ({ target, policy: { ...emptyPolicy, ...change } }));

it("is the defaults where nothing is defined", () => {
  const { definedBy, policy } = mergePolicies([]);
  expect(policy).toEqual(defaultPolicy);
  expect(definedBy.get("retention.keepLatest")).toEqual(globalPolicyTarget);
  expect(definedBy.get("logging.entries.cacheHit")).toEqual(globalPolicyTarget);
  expect(definedBy.has("splitter.algorithm")).toBe(false);
});

it("takes each field from the most specific policy that defines it, explicit zeros included", () => {
  const { definedBy, policy } = mergePolicies(
    layers(
      [path, { retention: { keepLatest: 0 }, files: { oneFileSystem: false, maxFileSize: 0 } }],
      [parent, { retention: { keepLatest: 5, keepDaily: 6 }, files: { maxFileSize: 7 } }],
      [globalPolicyTarget, { retention: { keepDaily: 1, keepWeekly: 8 }, noParent: false }],
    ),
  );
  expect(policy.retention).toMatchObject({ keepLatest: 0, keepDaily: 6, keepWeekly: 8 });
  expect(policy.retention.keepAnnual).toBe(defaultPolicy.retention.keepAnnual);
  expect(policy.files).toMatchObject({ oneFileSystem: false, maxFileSize: 7 });
  expect(definedBy.get("retention.keepLatest")).toEqual(path);
  expect(definedBy.get("files.maxFileSize")).toEqual(parent);
  expect(definedBy.get("retention.keepWeekly")).toEqual(globalPolicyTarget);
});

it("unites some lists, sorted, until one says stop, and takes others as a whole", () => {
  const { definedBy, policy } = mergePolicies(
    layers(
      [
        path,
        {
          files: { ignore: ["b", "a"] },
          compression: { neverCompress: [".z", ".a"], noParentOnlyCompress: true },
          scheduling: { timeOfDay: [{ hour: 9, min: 30 }] },
        },
      ],
      [
        parent,
        {
          files: { ignore: ["c"], ignoreDotFiles: [".x"] },
          compression: {
            neverCompress: [".b", ".a"],
            onlyCompress: [".q"],
            noParentNeverCompress: true,
          },
          scheduling: {
            timeOfDay: [
              { hour: 9, min: 30 },
              { hour: 1, min: 0 },
            ],
            noParentTimeOfDay: true,
          },
        },
      ],
      [
        host,
        {
          compression: { neverCompress: [".c"] },
          scheduling: { timeOfDay: [{ hour: 2, min: 0 }] },
        },
      ],
    ),
  );
  expect(policy.files).toMatchObject({ ignore: ["b", "a"], ignoreDotFiles: [".x"] });
  expect(policy.compression.neverCompress).toEqual([".a", ".b", ".z"]);
  expect(policy.compression.onlyCompress).toBeUndefined();
  expect(policy.scheduling.timeOfDay).toEqual([
    { hour: 1, min: 0 },
    { hour: 9, min: 30 },
  ]);
  expect(definedBy.get("compression.neverCompress")).toEqual(parent);
});

it("ends at a policy without parents, the defaults included", () => {
  const { definedBy, policy } = mergePolicies(
    layers(
      [path, { retention: { keepLatest: 1 } }],
      [parent, { noParent: true }],
      [globalPolicyTarget, { retention: { keepDaily: 2 } }],
    ),
  );
  expect(policy).toEqual({ ...emptyPolicy, retention: { keepLatest: 1 } });
  expect([...definedBy.keys()]).toEqual(["retention.keepLatest"]);
});

it("leaves the commands of a directory to it", () => {
  const command = { path: "/bin/true" };
  const own = { beforeFolder: command, afterSnapshotRoot: command };
  const above = { afterFolder: command, beforeSnapshotRoot: command };
  const both = layers([path, { actions: own }], [parent, { actions: above }]);
  const { policy } = mergePolicies(both);
  expect(policy.actions).toEqual({ ...own, beforeSnapshotRoot: command });
});

it("finds the policies of a repository that cover a source", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  const keep = (keepLatest: number): Policy => ({ ...emptyPolicy, retention: { keepLatest } });
  const latest = async (
    target: PolicyTarget,
  ): Promise<[number | undefined, PolicyTarget | undefined]> => {
    const { definedBy, policy } = await effectivePolicy(session, target);
    return [policy.retention.keepLatest, definedBy.get("retention.keepLatest")];
  };
  expect(await latest(path)).toEqual([10, globalPolicyTarget]);
  for (const [index, target] of [globalPolicyTarget, host, user, parent, path].entries()) {
    await setPolicy(session, target, keep(index));
    expect(await latest(path)).toEqual([index, target]);
  }
  expect(await latest({ ...path, path: "/a/other" })).toEqual([3, parent]);
  expect(await latest({ ...path, path: "/ab" })).toEqual([2, user]);
  expect(await latest({ ...path, userName: "else" })).toEqual([1, host]);
  expect(await latest({ ...path, host: "else" })).toEqual([0, globalPolicyTarget]);
  const { policy } = await effectivePolicy(session, path, { override: keep(99) });
  expect(policy.retention.keepLatest).toBe(99);
  // Several for one target all count, the oldest first.
  session.putManifest(policyLabels(path), { retention: { keepLatest: 77, keepDaily: 78 } });
  const several = (await effectivePolicy(session, path)).policy.retention;
  expect(several).toMatchObject({ keepLatest: 4, keepDaily: 78 });
});
