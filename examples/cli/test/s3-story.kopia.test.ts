/**
 * The story of the documentation with the real client: it connects to the prefix where we made the repository, its status has
 * the same lines as ours, and it verifies what we wrote. On our test server, and on SeaweedFS where that is.
 */
import { readFileSync } from "node:fs";
import { requirePeer, startSeaweed } from "@dm/fixtures";
import { startS3Server } from "@dm/storage/testing/s3";
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
    async start(): Promise<Running> {
      const server = await startS3Server({ buckets: [bucket] });
      return { endpoint: server.endpoint, ...server.accessKey, close: () => server.close() };
    },
  },
  SeaweedFS: {
    available: weed.available,
    start: (): Promise<Running> => startSeaweed(weed.path, { buckets: [bucket] }),
  },
};

describe.each(Object.entries(servers))("on %s", (_name, { available, start }) => {
  describe.skipIf(!kopia.available || !available)(kopia.title("with kopia"), () => {
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
      const storage = (path: string): unknown => JSON.parse(readFileSync(path, "utf8")).storage;
      expect(JSON.stringify(storage(ours.configPath))).toBe(
        JSON.stringify(storage(theirs.configPath)),
      );
      await expectEqual(theirs, "repository status");
      await expectEqual(theirs, "repository status --json", JSON.parse);
      await kopiaOk(theirs, "snapshot verify --verify-files-percent=100");
      await kopiaOk(theirs, "content verify --full");
      await expectEqual(theirs, "snapshot list --all --json", JSON.parse);
    }, 120_000);
  });
});
