/** Whoever has nothing but a bucket, its password and the real kopia gets the volumes back as the guide's disaster page says. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GuideBucket, openGuideBucket } from "./guide-bucket.ts";
import { guideBlocks } from "./guide-pages.ts";
import { follow } from "./guide-reader.ts";

const peer = requirePeer("kopia");

describe.skipIf(!peer.available)(peer.title("the guide with kopia"), () => {
  let folder = "";
  let bucket: GuideBucket;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "dm-guide-kopia-"));
    bucket = await openGuideBucket(folder);
  });
  afterAll(async () => {
    await bucket?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("disaster.md", async () => {
    const { instead, project } = bucket;
    const done = await follow("disaster.md", {
      folder: project,
      environment: {
        PATH: `${dirname(peer.path)}:${process.env["PATH"]}`,
        HOME: folder,
        TZ: "UTC",
        KOPIA_CHECK_FOR_UPDATES: "false",
      },
      instead,
      runs: ({ words }) => words === "kopia",
      signal: AbortSignal.timeout(50_000),
    });
    const wanted = guideBlocks("disaster.md").filter(({ words }) => words === "kopia");
    expect(wanted.length).toBeGreaterThan(3);
    expect(done.map(({ block }) => block.line)).toEqual(wanted.map(({ line }) => line));
  });
});
