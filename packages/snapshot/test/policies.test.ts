// Policies in a repository: set, replaced, read, listed, deleted; which of several counts; what cannot be set.
import { expect, it } from "vitest";
import {
  checkPolicy,
  deletePolicy,
  effectivePolicy,
  emptyPolicy,
  encodePolicy,
  expiredSnapshots,
  globalPolicyTarget,
  listPolicies,
  openPolicy,
  type Policy,
  policyLabels,
  policyTree,
  readPolicy,
  setPolicy,
  updatePolicy,
} from "../src/index.ts";
import { newRepository } from "./new-repository.ts";

const path = { host: "h", userName: "u", path: "/data" };
const user = { ...path, path: "" };
const host = { ...user, userName: "" };
const keep = (keepLatest: number): Policy => ({ ...emptyPolicy, retention: { keepLatest } });

it("sets, reads, lists and deletes", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  const targets = [path, user, host, globalPolicyTarget];
  for (const [index, target] of targets.entries()) {
    const id = await setPolicy(session, target, keep(index));
    expect((await session.findManifests({ type: "policy" })).at(-1)).toMatchObject({
      id,
      labels: policyLabels(target),
      data: encodePolicy(keep(index)),
    });
  }
  await session.flush();
  const listed = await listPolicies(repository);
  expect(listed.map(({ target }) => target)).toEqual(targets);
  for (const { id, policy, target } of listed) {
    expect(await readPolicy(repository, target)).toEqual(policy);
    expect(await openPolicy(repository, id)).toEqual({ id, policy, target });
  }
  const replaced = await setPolicy(session, path, keep(9));
  await updatePolicy(session, user, (policy) => ({ ...policy, noParent: true }));
  await updatePolicy(session, { ...path, path: "/new" }, (policy) => policy);
  expect(await deletePolicy(session, host)).toBe(1);
  expect(await deletePolicy(session, host)).toBe(0);
  await session.commit();
  expect(await readPolicy(repository, path)).toEqual(keep(9));
  expect(await readPolicy(repository, user)).toEqual({ ...keep(1), noParent: true });
  expect(await readPolicy(repository, { ...path, path: "/new" })).toEqual(emptyPolicy);
  expect(await readPolicy(repository, host)).toBeUndefined();
  expect(await listPolicies(repository)).toHaveLength(4);
  expect((await openPolicy(repository, replaced)).target).toEqual(path);
});

it("picks the one with the later time or the greater id of several", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  const ids = [1, 2, 3].map((keepLatest) =>
    session.putManifest(policyLabels(path), undefined, { rawData: encodePolicy(keep(keepLatest)) }),
  );
  const all = await session.findManifests(policyLabels(path));
  let pick = all[0]!;
  for (const entry of all)
    if (entry.modifiedAtNs > pick.modifiedAtNs || entry.id > pick.id) pick = entry;
  expect(await readPolicy(session, path)).toEqual(keep(ids.indexOf(pick.id) + 1));
  expect(await deletePolicy(session, path)).toBe(3);
});

it("says when there is none", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  const notPolicy = session.putManifest({ type: "other" }, {});
  for (const id of ["", "00", notPolicy])
    await expect(openPolicy(session as never, id)).rejects.toMatchObject({
      code: "DM_POLICY_NOT_FOUND",
    });
});

it("refuses a policy that cannot be one", () => {
  const manual: Policy = { ...emptyPolicy, scheduling: { manual: true } };
  expect(() => checkPolicy(path, manual)).not.toThrow();
  const both: Policy = { ...emptyPolicy, scheduling: { manual: true, runMissed: false } };
  expect(() => checkPolicy(path, both)).toThrow(RangeError);
  const parallel: Policy = { ...emptyPolicy, upload: { maxParallelSnapshots: 2 } };
  expect(() => checkPolicy(user, parallel)).not.toThrow();
  expect(() => checkPolicy(path, parallel)).toThrow(RangeError);
  for (const end of ["/data/", "C:\\data\\", "a/"])
    expect(() => checkPolicy({ ...path, path: end }, emptyPolicy)).toThrow(RangeError);
  for (const root of ["/", "C:\\"])
    expect(() => checkPolicy({ ...path, path: root }, emptyPolicy)).not.toThrow();
});

it("lets a damaged policy concern only those that it covers", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  await setPolicy(session, path, keep(3));
  session.putManifest(policyLabels({ ...path, path: "/other" }), { retention: [] });
  const invalid = { code: "DM_POLICY_INVALID" };
  expect((await effectivePolicy(session, path)).policy.retention.keepLatest).toBe(3);
  expect((await policyTree(session, path)).policy.retention.keepLatest).toBe(3);
  expect(await expiredSnapshots(session, path)).toEqual([]);
  for (const target of [
    { ...path, path: "/other" },
    { ...path, path: "/other/inner" },
  ])
    await expect(effectivePolicy(session, target)).rejects.toMatchObject(invalid);
  await expect(policyTree(session, { ...path, path: "/" })).rejects.toMatchObject(invalid);
  await expect(listPolicies(session)).rejects.toMatchObject(invalid);
});
