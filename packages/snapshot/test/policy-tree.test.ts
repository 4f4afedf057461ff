// Which policy counts where in a source: merged at its root, as they stand below, inherited by what lies deeper.
import { expect, it } from "vitest";
import { emptyPolicy, type Policy, policyTree, setPolicy } from "../src/index.ts";
import { policyTreeOf } from "../src/policy/policy-tree.ts";
import { newRepository } from "./new-repository.ts";

const source = { host: "h", userName: "u", path: "/data" };
const compress = (compressorName: string): Policy => ({
  ...emptyPolicy,
  compression: { compressorName },
});

it("merges at the root, and takes what is defined below as it stands", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  await setPolicy(session, { host: "", userName: "", path: "" }, compress("pgzip"));
  await setPolicy(session, source, { ...emptyPolicy, files: { ignore: ["x"] } });
  const deep = { ...emptyPolicy, files: { ignore: ["y"] } };
  await setPolicy(session, { ...source, path: "/data/a/b" }, deep);
  await setPolicy(session, { ...source, path: "/data/a/file.txt" }, compress("s2-default"));
  await setPolicy(session, { ...source, path: "/database" }, compress("gzip"));
  await setPolicy(session, { ...source, userName: "v", path: "/data/c" }, compress("gzip"));

  const root = await policyTree(session, source);
  expect(root.isDefined).toBe(true);
  expect(root.policy).toMatchObject({
    compression: { compressorName: "pgzip" },
    files: { ignore: ["x"], ignoreDotFiles: [".kopiaignore"] },
  });
  const a = root.child("a");
  expect([a.isDefined, a.policy]).toEqual([false, root.policy]);
  const b = a.child("b");
  expect([b.isDefined, b.policy]).toEqual([true, deep]);
  const below = b.child("c").child("d");
  expect([below.isDefined, below.policy]).toEqual([false, deep]);
  expect(a.child("file.txt").policy.compression.compressorName).toBe("s2-default");
  expect(a.child("other.txt").policy).toEqual(root.policy);
  expect(root.child("c").policy).toEqual(root.policy);
  const other = await policyTree(session, source, { override: compress("deflate-default") });
  expect(other.policy.compression.compressorName).toBe("deflate-default");
  expect(other.child("a").child("b").policy).toEqual(deep);
});

it("makes one node for all that inherit", () => {
  const root = policyTreeOf([], source);
  const child = root.child("a");
  expect(root.child("b")).toBe(child);
  expect(child.child("c")).toBe(child);
});
