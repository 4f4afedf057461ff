/** `dm snapshot create --block` and `dm restore`: an image goes in and comes out, its holes unread and unwritten. */
import { createHash } from "node:crypto";
import { mkdirSync, openSync, readFileSync, statSync, truncateSync, writeSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Home } from "./run.ts";

const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

describe("an image of a volume", () => {
  it("is backed up and restored", async () => {
    using home = new Home();
    const image = home.path("disk.img");
    const fd = openSync(image, "w");
    truncateSync(image, 80 << 20);
    for (let at = 0; at < 4; at++)
      writeSync(fd, Buffer.alloc(300_000, at + 1), 0, 300_000, at * 20_000_003);
    mkdirSync(home.path("repo"));
    await home.ok(["repository", "create", "filesystem", "--path", home.path("repo")]);
    const { out } = await home.ok(["snapshot", "create", "--block", "--json", image]);
    const snapshot = JSON.parse(out);
    expect(snapshot.rootEntry).toMatchObject({ name: image, type: "d", mode: "0777" });
    expect(snapshot.rootEntry.summ).toMatchObject({ size: 80 << 20, files: 1 });
    const target = home.path("restored.img");
    await home.ok(["restore", snapshot.id, target]);
    expect(sha256(target)).toBe(sha256(image));
    expect(statSync(target).blocks * 512).toBeLessThan(8 << 20);
  });

  it("is no directory", async () => {
    using home = new Home();
    mkdirSync(home.path("repo"));
    await home.ok(["repository", "create", "filesystem", "--path", home.path("repo")]);
    const failed = await home.run(["snapshot", "create", "--block", home.folder]);
    expect(failed.code).toBe(1);
    expect(failed.err).toContain("is neither a block device nor a regular file");
    expect((await home.run(["snapshot", "create", "--block", "--all"])).code).toBe(2);
  });
});
