/** `dm snapshot create --block` and `dm restore`: an image goes in and comes out, its holes unread and unwritten. */
import { createHash } from "node:crypto";
import {
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { splitmix64 } from "@dm/fixtures";
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

  it("is gone on with where a run was cut off, without reading what that has stored", async () => {
    using home = new Home();
    const image = home.path("disk.img");
    const bytes = splitmix64(5, 50_000_000);
    writeFileSync(image, bytes);
    await home.ok(["repository", "create", "filesystem", "--path", home.path("repo")]);
    const create = ["snapshot", "create", "--block", "--json", "--parallel", "0", image];
    const cut = await home.run([...create, "--upload-limit-mb", "20"]);
    expect(JSON.parse(cut.out)).toMatchObject({ incomplete: "limit reached" });
    // Changed behind its back: what is stored counts.
    writeFileSync(image, Buffer.concat([Buffer.alloc(1000, 1), bytes.subarray(1000)]));
    const { id } = JSON.parse((await home.ok([...create, "--resume"])).out);
    await home.ok(["restore", id, home.path("restored.img")]);
    expect(Buffer.compare(readFileSync(home.path("restored.img")), bytes)).toBe(0);
    const refused = await home.run(["snapshot", "create", "--resume", home.folder]);
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining("is for --block") });
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
