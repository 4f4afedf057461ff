/** `repository validate-provider`: good stores pass, faults are named with what they mean, and nothing stays behind. */
import { mkdirSync, readdirSync } from "node:fs";
import { startS3Server, testAccessKey, writerPermissions } from "@dm/storage/testing/s3";
import { expect, it } from "vitest";
import { Home } from "./run.ts";

const quick = [
  "--concurrency-test-duration=200ms",
  "--num-storage-connections=2",
  "--paged-blobs=20",
];
const command = ["repository", "validate-provider", ...quick];

it("passes a directory, without a password, and leaves it as it was", async () => {
  using home = new Home();
  await home.ok(["repository", "create", "filesystem", "--path", home.path("r"), "--flat"]);
  const before = readdirSync(home.path("r"));
  home.env["KOPIA_PASSWORD"] = undefined;
  const { err, out } = await home.ok(command);
  expect(out).toBe("");
  expect(err).toContain("Reading ranges...");
  expect(err).toContain("All good: 12 checks passed.");
  expect(readdirSync(home.path("r"))).toEqual(before);
});

it("refuses a connection that is read-only", async () => {
  using home = new Home();
  mkdirSync(home.path("r"));
  await home.ok(["repository", "create", "filesystem", "--path", home.path("r")]);
  await home.ok(["repository", "connect", "filesystem", "--path", home.path("r"), "--readonly"]);
  const outcome = await home.run(command);
  expect([outcome.code, outcome.err]).toEqual([1, expect.stringContaining("[DM_STORE_READ_ONLY]")]);
});

it("says of a bucket whose keys may not delete what that means, and what stays", async () => {
  using home = new Home();
  const writer = {
    accessKeyId: "AKIAWRITERWRITERWRIT",
    secretAccessKey: "a-writer-that-may-not-delete",
    permissions: writerPermissions,
  };
  const accessKeys = [testAccessKey, writer];
  const server = await startS3Server({ buckets: ["backups"], accessKeys });
  try {
    const flags = (key: { accessKeyId: string; secretAccessKey: string }): string[] => [
      "s3",
      "--bucket=backups",
      `--endpoint=${server.endpoint}`,
      "--disable-tls",
      `--access-key=${key.accessKeyId}`,
      `--secret-access-key=${key.secretAccessKey}`,
    ];
    const { err } = await home.ok(["repository", "create", ...flags(testAccessKey)]);
    expect(err).toContain("dm repository validate-provider");
    await home.ok(command);
    await home.ok(["repository", "connect", ...flags(writer)]);
    const outcome = await home.run(command);
    expect(outcome.code).toBe(1);
    expect(outcome.err).toMatch(
      /^FAILED delete: deleting what is not there fails: .*\[DM_STORE_ACCESS_DENIED\]\.$/m,
    );
    expect(outcome.err).toContain("What it means: space is never freed");
    expect(outcome.err).toMatch(/^FAILED cleanup: \d+ blobs below z[0-9a-f]{32} stay/m);
    expect(outcome.err).toContain("2 checks failed, 11 passed [DM_CLI_PROVIDER_UNSUITABLE]");
    expect(outcome.err).not.toContain(writer.secretAccessKey);
  } finally {
    await server.close();
  }
});
