/**
 * The story of the documentation with the real client: it connects to the prefix where we made the repository, its status has
 * the same lines as ours, and it verifies what we wrote. On our test server, and on SeaweedFS where that is.
 */
import { writeFileSync } from "node:fs";
import { requirePeer, startSeaweed } from "@dm/fixtures";
import { selfSignedCertificate, startS3Server } from "@dm/storage/testing/s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectEqual, kopia, kopiaOk } from "./run-kopia.ts";
import {
  backUpAndRestore,
  bucket,
  connectWithoutSlash,
  createRepository,
  prefix,
  type StoryServer,
  s3Flags,
  storyHome,
} from "./s3-story.ts";

const weed = requirePeer("s3");

type Running = StoryServer & { close(): Promise<void> };

const servers = {
  "our test server": {
    available: true,
    title: (text: string): string => text,
    async start(): Promise<Running> {
      const server = await startS3Server({ buckets: [bucket] });
      return { endpoint: server.endpoint, ...server.accessKey, close: () => server.close() };
    },
  },
  SeaweedFS: {
    available: weed.available,
    title: weed.title,
    start: (): Promise<Running> => startSeaweed(weed.path, { buckets: [bucket] }),
  },
};

describe.each(Object.entries(servers))("on %s", (_name, { available, start, title }) => {
  describe.skipIf(!kopia.available || !available)(title(kopia.title("with kopia")), () => {
    let server: Running;
    beforeAll(async () => {
      server = await start();
    }, 120_000);
    afterAll(() => server?.close());

    it("agrees on the connection, the status, and all data", async () => {
      using ours = storyHome();
      await createRepository(ours, server);
      await connectWithoutSlash(ours, server);
      await expectEqual(ours, "repository status");
      await expectEqual(ours, "repository status --json", JSON.parse);
      await backUpAndRestore(ours);
      await expectEqual(ours, "repository status");

      using theirs = storyHome();
      await kopiaOk(theirs, ["repository", "connect", "s3", ...s3Flags(server, prefix)]);
      expect(JSON.stringify(ours.storage)).toBe(JSON.stringify(theirs.storage));
      await expectEqual(theirs, "repository status");
      await expectEqual(theirs, "repository status --json", JSON.parse);
      await kopiaOk(theirs, "snapshot verify --verify-files-percent=100");
      await kopiaOk(theirs, "content verify --full");
      await expectEqual(theirs, "snapshot list --all --json", JSON.parse);
    }, 120_000);
  });
});

describe.skipIf(!kopia.available)(kopia.title("every flag of a connection, with kopia"), () => {
  const region = "eu-central-1";
  const key = {
    accessKeyId: "ASIATEMPORARYTEMPORA",
    secretAccessKey: "a-temporary-secret",
    sessionToken: "a-token <of> a & session",
  };
  const certificate = selfSignedCertificate();

  const start = () =>
    startS3Server({
      buckets: [{ name: bucket, versioning: true, objectLock: true }],
      accessKeys: [key],
      region,
      tls: certificate,
    });

  it("makes the same configuration and the same status: CA, region, token, limits, object lock", async () => {
    const server = await start();
    try {
      using ours = storyHome();
      using theirs = storyHome();
      writeFileSync(ours.path("ca.pem"), certificate.cert);
      const story = { ...key, endpoint: server.endpoint };
      const flags = [
        "s3",
        ...s3Flags(story, prefix).filter((flag) => flag !== "--disable-tls"),
        `--session-token=${key.sessionToken}`,
        `--region=${region}`,
        `--root-ca-pem-path=${ours.path("ca.pem")}`,
        "--max-download-speed=100000000",
        "--max-upload-speed=90000000",
      ];
      const lock = ["--retention-mode=GOVERNANCE", "--retention-period=48h"];
      await ours.ok(["repository", "create", ...flags, ...lock]);
      await kopiaOk(theirs, ["repository", "connect", ...flags]);
      expect(JSON.stringify(ours.storage)).toBe(JSON.stringify(theirs.storage));
      await expectEqual(ours, "repository status");
      await expectEqual(theirs, "repository status");
      const { out } = await ours.ok("repository status");
      expect(out).toContain("Blob retention mode:     GOVERNANCE");
      expect(out).toContain(`"sessionToken": "${"*".repeat(key.sessionToken.length)}"`);
      expect(out).not.toContain(key.secretAccessKey);
      await expectEqual(ours, "repository status --json", JSON.parse);
      const locked = server.bucket(bucket).versions(`${prefix}kopia.repository`)[0];
      expect(locked?.retention?.mode).toBe("GOVERNANCE");

      // What another user needs: a token of kopia's, secrets of the connection and password included.
      const text = await kopiaOk(theirs, "repository status -t -s");
      using other = storyHome();
      const token = /--token (\S+)/.exec(text)?.[1] ?? "";
      await other.ok(["repository", "connect", "from-config", "--token", token]);
      expect(JSON.stringify(other.storage)).toBe(JSON.stringify(theirs.storage));

      // A view of the past, of which kopia shows the year 1.
      const past = new Date(Date.now() + 1000).toISOString().replace(/\.\d+/, "");
      await ours.ok(["repository", "connect", ...flags, `--point-in-time=${past}`]);
      await kopiaOk(theirs, ["repository", "connect", ...flags, `--point-in-time=${past}`]);
      expect(JSON.stringify(ours.storage)).toBe(JSON.stringify(theirs.storage));
      const time = (text: string): string | undefined => /"pointInTime": "(.*)"/.exec(text)?.[1];
      const theirStatus = await kopiaOk(theirs, "repository status");
      const ourStatus = (await theirs.ok("repository status")).out;
      expect([time(ourStatus), time(theirStatus)]).toEqual([past, "0001-01-01T00:00:00Z"]);
      expect(ourStatus.replace(past, "")).toBe(theirStatus.replace("0001-01-01T00:00:00Z", ""));
    } finally {
      await server.close();
    }
  }, 120_000);
});
