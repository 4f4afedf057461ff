/** The story of the documentation on a real S3 server, SeaweedFS. Runs where `weed` is. */
import { requirePeer, type SeaweedServer, startSeaweed } from "@dm/fixtures";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  assertStatus,
  backUpAndRestore,
  bucket,
  connectWithoutSlash,
  createRepository,
  storyHome,
} from "./s3-story.ts";

const weed = requirePeer("s3");

describe.skipIf(!weed.available)(weed.title("on SeaweedFS"), () => {
  let server: SeaweedServer;
  beforeAll(async () => {
    server = await startSeaweed(weed.path, { buckets: [bucket] });
  }, 120_000);
  afterAll(() => server?.close());

  it("tells the story of the documentation", async () => {
    using home = storyHome();
    await createRepository(home, server);
    await connectWithoutSlash(home, server);
    await assertStatus(home, server);
    await backUpAndRestore(home);
  }, 120_000);
});
