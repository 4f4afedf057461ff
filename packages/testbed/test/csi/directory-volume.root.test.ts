// A copy of a directory volume made as root has what only root can make: owners, devices, and extended attributes.
import { execFileSync } from "node:child_process";
import { chown, lstat, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { createContents } from "../../src/csi/volume-content.ts";

const root = requirePeer("root");
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
  });

function has(program: string): boolean {
  try {
    run("sh", "-c", `command -v ${program}`);
    return true;
  } catch {
    if (root.available) process.stderr.write(`SKIPPED: ${program} is not on this machine\n`);
    return false;
  }
}

describe.skipIf(!root.available || process.platform !== "linux")(
  root.title("a directory volume"),
  () => {
    it("is copied with owners, pipes, devices and capabilities", async () => {
      const folder = await mkdtemp(join(tmpdir(), "dm-content-"));
      try {
        const { directory } = createContents({ canMount: true });
        const [from, to] = [join(folder, "from"), join(folder, "to")];
        await mkdir(from);
        await mkdir(to);
        await directory.create(from, 0);
        const path = await directory.stage(from);
        for (const name of ["file", "program"]) await writeFile(join(path, name), "text");
        await chown(join(path, "file"), 12345, 54321);
        await chown(path, 7, 8);
        run("mkfifo", join(path, "pipe"));
        run("mknod", join(path, "null"), "c", "1", "3");
        const hasCapabilities = has("setcap") && has("getcap");
        if (hasCapabilities) run("setcap", "cap_net_raw+ep", join(path, "program"));

        await directory.copy(from, to);
        const copy = await directory.stage(to);
        for (const name of [".", "file", "pipe", "null", "program"]) {
          const [before, after] = [await lstat(join(path, name)), await lstat(join(copy, name))];
          const facts = ({ mode, uid, gid, rdev }: typeof before) => ({
            name,
            mode,
            uid,
            gid,
            rdev,
          });
          expect(facts(after)).toEqual(facts(before));
        }
        expect((await lstat(join(copy, "null"))).isCharacterDevice()).toBe(true);
        if (hasCapabilities)
          expect(run("getcap", join(copy, "program"))).toContain("cap_net_raw=ep");
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  },
);
