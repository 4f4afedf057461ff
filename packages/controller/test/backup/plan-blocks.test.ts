/** Which pods and claims are backed up together, and in which order. */
import type { PersistentVolumeClaim, Pod } from "@dm/crds";
import { expect, it } from "vitest";
import { orderOf, planBlocks } from "../../src/backup/plan-blocks.ts";

const pod = (name: string, ...claims: string[]): Pod => ({
  metadata: { name, namespace: "shop" },
  spec: {
    containers: [],
    volumes: claims.map((claimName) => ({
      name: claimName,
      persistentVolumeClaim: { claimName },
    })),
  },
});
const claim = (name: string): PersistentVolumeClaim => ({
  metadata: { name, namespace: "shop" },
  spec: {},
});
const plan = (
  pods: Pod[],
  claims: string[],
  ordered: Partial<Record<"pods" | "claims", string[]>> = {},
) =>
  planBlocks(pods, claims.map(claim), { pods: [], claims: [], ...ordered }).map((block) =>
    [...block.pods, ...block.claims].map(({ metadata }) => metadata.name).join(" "),
  );

it("a pod goes with its claims, a claim without a pod by itself", () => {
  expect(plan([pod("a", "d", "c"), pod("b")], ["c", "d", "e"])).toEqual(["a d c", "b", "e"]);
});

it("pods that share claims hang together, however far", () => {
  expect(
    plan([pod("a", "x"), pod("b", "y"), pod("c", "x", "y"), pod("d", "z")], ["x", "y", "z"]),
  ).toEqual(["a c b x y", "d z"]);
});

it("claims that are not in the backup do not tie pods together", () => {
  expect(plan([pod("a", "x"), pod("b", "x")], [])).toEqual(["a", "b"]);
});

it("what is ordered goes first, one after the other", () => {
  const pods = [pod("a", "x"), pod("b"), pod("c")];
  const ordered = { pods: ["shop/c", "shop/none", "shop/b"], claims: ["shop/z"] };
  expect(plan(pods, ["x", "y", "z"], ordered)).toEqual(["c b", "z", "a x", "y"]);
});

it("the claim of an ephemeral volume is its pod's", () => {
  const own = pod("a");
  own.spec.volumes = [{ name: "scratch", ephemeral: {} }];
  expect(plan([own], ["a-scratch"])).toEqual(["a a-scratch"]);
});

it("an order is a list of names", () => {
  expect(orderOf({ pods: "a/b, c/d," }, "pods")).toEqual(["a/b", "c/d"]);
  expect(orderOf(undefined, "pods")).toEqual([]);
});
