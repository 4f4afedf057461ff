// The policies and snapshots of golden repositories of the real kopia (a quarter of them, all with DM_FULL=1): each policy is read and written again to the byte,
// found under its own labels, merged for each source; and no golden snapshot expires.
import { goldenRepositories } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import {
  effectivePolicy,
  encodePolicy,
  expiredSnapshots,
  listPolicies,
  listSnapshots,
  policyLabels,
  readPolicy,
  retentionOf,
} from "../src/index.ts";
import { openGolden } from "./open-golden.ts";

// A key costs 0.3 s to derive.
const share = process.env["DM_FULL"] ? 1 : 4;
const names = goldenRepositories().filter((_, index) => index % share === 0);
let seen = 0;

describe.each(names)("%s", (name) => {
  it("has policies that we read and write, and reasons to keep its snapshots", async () => {
    const { repository } = await openGolden(name);
    await using _ = repository;
    for (const { id, policy, target } of await listPolicies(repository)) {
      const { data, labels } = await repository.readManifest(id);
      expect(encodePolicy(policy)).toBe(data);
      expect(policyLabels(target)).toEqual(labels);
      expect(await readPolicy(repository, target)).toEqual(policy);
      seen += 1;
    }
    const snapshots = await listSnapshots(repository);
    const reasons = await retentionOf(repository, snapshots);
    for (const { id, source } of snapshots) {
      expect(reasons.get(id)!.length).toBeGreaterThan(0);
      expect(await expiredSnapshots(repository, source)).toEqual([]);
      const { policy } = await effectivePolicy(repository, source);
      expect(policy.files.ignoreDotFiles).toEqual([".kopiaignore"]);
    }
  });
});

it("has seen policies", () => {
  expect(seen).toBeGreaterThan(names.length / 2);
});
