/** Repositories in S3 buckets: the story of the documentation on our test server, and what the flags mean. */
import { writeFileSync } from "node:fs";
import { type S3Server, selfSignedCertificate, startS3Server } from "@dm/storage/testing/s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";
import {
  assertStatus,
  backUpAndRestore,
  bucket,
  connectWithoutSlash,
  createRepository,
  prefix,
  type StoryServer,
  s3Flags,
  storyHome,
} from "./s3-story.ts";

describe("on our test server", () => {
  let server: S3Server;
  let story: StoryServer;
  beforeAll(async () => {
    server = await startS3Server({ buckets: [bucket] });
    story = { endpoint: server.endpoint, ...server.accessKey };
  });
  afterAll(() => server.close());

  it("tells the story of the documentation", async () => {
    using home = storyHome();
    await createRepository(home, story);
    await connectWithoutSlash(home, story);
    await assertStatus(home, story);
    await backUpAndRestore(home);
  });

  it("says which prefix has no repository, with or without a slash", async () => {
    using home = new Home();
    const outcome = await home.run(["repository", "connect", "s3", ...s3Flags(story, "no/where")]);
    expect([outcome.code, outcome.err]).toEqual([
      1,
      expect.stringContaining("[DM_REPOSITORY_NOT_FOUND]"),
    ]);
    expect(outcome.err).not.toContain("NOTE:");
  });

  it("says how blobs of a prefix without a slash are named, and finds them by it", async () => {
    using home = new Home();
    const flags = s3Flags(story, "plain");
    const { err } = await home.ok(["repository", "create", "s3", ...flags]);
    expect(err).toContain(
      "NOTE: the prefix does not end in a slash; blobs will be named plainkopia",
    );
    expect((await home.ok(["repository", "connect", "s3", ...flags])).err).not.toContain("NOTE:");
    expect(home.storage.config["prefix"]).toBe("plain");
  });

  it("takes keys from the environment, and a URL for the endpoint, and stores them as kopia does", async () => {
    using home = new Home();
    home.env = {
      ...home.env,
      AWS_ACCESS_KEY_ID: story.accessKeyId,
      AWS_SECRET_ACCESS_KEY: story.secretAccessKey,
    };
    const place = [`--bucket=${bucket}`, "--prefix=environment/"];
    const flags = [...place, `--endpoint=http://${story.endpoint}`, "--max-upload-speed=1000000"];
    await home.ok(["repository", "create", "s3", ...flags]);
    expect(home.storage.config).toEqual({
      bucket,
      prefix: "environment/",
      endpoint: story.endpoint,
      doNotUseTLS: true,
      accessKeyID: story.accessKeyId,
      secretAccessKey: story.secretAccessKey,
      sessionToken: "",
      roleARN: "",
      sessionName: "",
      duration: "0s",
      roleEndpoint: "",
      roleRegion: "",
      maxUploadSpeedBytesPerSecond: 1_000_000,
    });
    const { out } = await home.ok("--log-level debug repository status --json");
    expect(out).not.toContain(story.secretAccessKey);
  });

  it("without keys, looks for the credentials file when the store is opened", async () => {
    using home = new Home();
    const { accessKeyId, secretAccessKey } = story;
    writeFileSync(
      home.path("cloud"),
      `[default]\naws_access_key_id=none\naws_secret_access_key=none\n` +
        `[backups]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`,
    );
    const place = [`--bucket=${bucket}`, `--endpoint=${story.endpoint}`, "--disable-tls"];
    const credentials = { AWS_SHARED_CREDENTIALS_FILE: home.path("cloud"), AWS_PROFILE: "backups" };
    const bare = home.env;
    home.env = { ...bare, ...credentials };
    await home.ok(["repository", "create", "s3", ...place, "--prefix=profile/"]);
    expect(home.storage.config).toMatchObject({ accessKeyID: "", secretAccessKey: "" });
    home.env = bare;
    const outcome = await home.run("blob list");
    expect([outcome.code, outcome.err]).toEqual([
      1,
      expect.stringContaining("[DM_STORE_CREDENTIALS_MISSING]"),
    ]);
  });

  it("warns of algorithms in the environment that do not exist, and prefers flags", async () => {
    using home = new Home();
    home.env = {
      ...home.env,
      KOPIA_HASHING_ALGORITHM: "MD5",
      KOPIA_SPLITTER_ALGORITHM: "FIXED-1M",
    };
    const flags = [...s3Flags(story, "flags/"), "--object-splitter=FIXED-2M"];
    const { err } = await home.ok(["repository", "create", "s3", ...flags]);
    expect(err).toContain('KOPIA_HASHING_ALGORITHM: "MD5" is unknown, and ignored');
    const status = await home.json<Record<string, unknown>>("repository status --json");
    expect(status).toMatchObject({
      contentFormat: { hash: "BLAKE2B-256-128" },
      objectFormat: { splitter: "FIXED-2M" },
    });
  });

  it("copies a repository into a bucket", async () => {
    using home = new Home();
    await home.ok(["repository", "create", "filesystem", "--path", home.path("repository")]);
    const flags = s3Flags(story, "copy/");
    const { err } = await home.ok(["repository", "sync-to", "s3", ...flags]);
    expect(err).toMatch(/Copied \d+ BLOBs/);
    const ids = async (): Promise<string[]> =>
      (await home.json<{ id: string }[]>("blob list --json")).map(({ id }) => id).sort();
    const original = await ids();
    await home.ok(["repository", "connect", "s3", ...flags]);
    expect(await ids()).toEqual(original);
  });

  it.each([
    [["--secret-access-key=only"], "one of them is missing"],
    [["--access-key=a", "--secret-access-key=b", "--point-in-time=2026-01-01T00:00:00Z"], "past"],
    [["--root-ca-pem-path=a", "--root-ca-pem-base64=b"], "exclude each other"],
    [["--root-ca-pem-base64=b"], "rootCA"],
    [["--endpoint=http://store.example.com/path"], "an endpoint is a host"],
    [["--prefix=../other/"], "not a prefix"],
    [["--bucket=a/b"], "not the name of a bucket"],
  ])("is called wrongly with %s", async (flags, message) => {
    using home = new Home();
    const outcome = await home.run(["repository", "create", "s3", `--bucket=${bucket}`, ...flags]);
    expect([outcome.code, outcome.err]).toEqual([2, expect.stringContaining(message)]);
  });

  it("takes a time of the past with its zone alone, as kopia reads it back", async () => {
    using home = new Home();
    const flags = [`--bucket=${bucket}`, "--point-in-time=2026-01-01T00:00:00"];
    const outcome = await home.run(["repository", "connect", "s3", ...flags]);
    expect([outcome.code, outcome.err]).toEqual([2, expect.stringContaining("pointInTime")]);
  });
});

it("trusts the certificate authority that a file names, and without it only on request", async () => {
  const certificate = selfSignedCertificate();
  const server = await startS3Server({ buckets: [bucket], tls: certificate });
  try {
    using home = new Home();
    const story = { endpoint: server.endpoint, ...server.accessKey };
    const flags = s3Flags(story, prefix).filter((flag) => flag !== "--disable-tls");
    writeFileSync(home.path("ca.pem"), certificate.cert);
    await home.ok([
      ...["repository", "create", "s3", ...flags],
      `--root-ca-pem-path=${home.path("ca.pem")}`,
    ]);
    const base64 = Buffer.from(certificate.cert).toString("base64");
    expect(home.storage.config).toMatchObject({ rootCA: base64 });
    await home.ok(["repository", "connect", "s3", ...flags, "--disable-tls-verification"]);
    expect(home.storage.config).toMatchObject({ doNotVerifyTLS: true });
    expect((await home.run(["repository", "connect", "s3", ...flags])).code).toBe(1);
  } finally {
    await server.close();
  }
});
