// Every back-end of the system-call seam does on this machine's file system what its interface promises, and fails as Node
// does; without one the rest still works, and says what is lost.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { isDmError } from "@dm/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describePosix, loadPosix, type PosixBackend } from "../src/node/posix/load-posix.ts";
import type { Posix } from "../src/node/posix/posix.ts";
import { systemError } from "../src/node/posix/system-error.ts";

const hasNodeFfi = isBuiltin("node:ffi");
const isLinux = process.platform === "linux";
const native: PosixBackend[] = hasNodeFfi ? ["node:ffi", "koffi"] : ["koffi"];
const loader = new URL("../src/node/posix/load-posix.ts", import.meta.url).href;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "dm-posix-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

let count = 0;
function newFile(content: string | Uint8Array = "content"): string {
  count += 1;
  const path = join(directory, `fil\u00e9-${count}`);
  writeFileSync(path, content);
  return path;
}

function withOpen<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, "r+");
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

describe.each(native)("%s", (backend) => {
  let posix: Posix;
  beforeAll(async () => {
    posix = await loadPosix({ backend });
  });

  it("says that nothing is lost", () => {
    expect(posix.backend).toBe(backend);
    if (isLinux) expect(posix.losses).toEqual([]);
  });

  it.each([
    [0n, 1_567_000_000_123_456_789n],
    [1n, 999_999_999n],
    // Before 1970, where seconds are rounded down; 2106, behind 32 bits.
    [-1n, -1_000_000_001n],
    [4_294_967_296_000_000_001n, 4_294_967_296_999_999_999n],
  ])("sets times to the nanosecond: %s, %s", (accessedAtNs, modifiedAtNs) => {
    const path = newFile();
    posix.setTimes(path, accessedAtNs, modifiedAtNs);
    const status = lstatSync(path, { bigint: true });
    expect([status.atimeNs, status.mtimeNs]).toEqual([accessedAtNs, modifiedAtNs]);
  });

  it("sets times of a link, not of its target", () => {
    const target = newFile();
    const before = lstatSync(target, { bigint: true }).mtimeNs;
    symlinkSync(target, `${target}-link`);
    posix.setTimes(`${target}-link`, 5n, 7n);
    expect(lstatSync(`${target}-link`, { bigint: true }).mtimeNs).toBe(7n);
    expect(lstatSync(target, { bigint: true }).mtimeNs).toBe(before);
  });

  it.runIf(isLinux)("takes a path that is not UTF-8", () => {
    const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0x66, 0xff, 0xe2])]);
    writeFileSync(path, "");
    posix.setTimes(path, 1n, 123_456_789n);
    expect(lstatSync(path, { bigint: true }).mtimeNs).toBe(123_456_789n);
  });

  it("fails as Node does", () => {
    const path = join(directory, "missing");
    expect(() => posix.setTimes(path, 0n, 0n)).toThrow(
      expect.objectContaining({
        code: "ENOENT",
        errno: -2,
        path,
        syscall: "utimensat",
        message: `ENOENT: no such file or directory, utimensat '${path}'`,
      }),
    );
    expect(() => posix.setTimes(join(newFile(), "below"), 0n, 0n)).toThrow(
      expect.objectContaining({ code: "ENOTDIR" }),
    );
    expect(() => posix.syncFileSystem(999_999)).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  it("refuses paths that would be cut", () => {
    const path = newFile();
    const before = lstatSync(path, { bigint: true }).mtimeNs;
    for (const [wrong, code] of [
      [`${path}\0tail`, "EINVAL"],
      ["", "ENOENT"],
      [`${directory}${"/.".repeat(2048)}/x`, "ENAMETOOLONG"],
      [Buffer.alloc(4096, "/"), "ENAMETOOLONG"],
    ] as const)
      expect(() => posix.setTimes(wrong, 0n, 0n)).toThrow(expect.objectContaining({ code }));
    expect(lstatSync(path, { bigint: true }).mtimeNs).toBe(before);
  });

  it.runIf(isLinux)("reads and writes attributes, empty and long ones", () => {
    const path = newFile();
    expect(posix.readAttributes(path)).toEqual([]);
    const attributes = [
      { name: "user.empty", value: new Uint8Array(0) },
      { name: "user.bytes", value: Uint8Array.of(0, 255, 10) },
      { name: "user.\u00fcml\u00e4ut", value: new Uint8Array(200).fill(7) },
    ];
    for (const attribute of attributes) posix.writeAttribute(path, attribute);
    posix.writeAttribute(path, { name: "user.bytes", value: Uint8Array.of(1) });
    attributes[1] = { name: "user.bytes", value: Uint8Array.of(1) };
    const seen = [...posix.readAttributes(path)].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(seen).toEqual(attributes.sort((a, b) => (a.name < b.name ? -1 : 1)));
  });

  it.runIf(isLinux)("reads attributes of a link, not of its target", () => {
    const target = newFile();
    posix.writeAttribute(target, { name: "user.of-target", value: Uint8Array.of(1) });
    symlinkSync(target, `${target}-link`);
    expect(posix.readAttributes(`${target}-link`)).toEqual([]);
  });

  it.runIf(isLinux)("refuses attributes that the system does not have", () => {
    const path = newFile();
    const value = Uint8Array.of(1);
    expect(() => posix.writeAttribute(path, { name: "nonsense", value })).toThrow(
      expect.objectContaining({ code: "ENOTSUP", syscall: "lsetxattr" }),
    );
    for (const name of [`user.${"n".repeat(300)}`, `user.${"n".repeat(3000)}`])
      expect(() => posix.writeAttribute(path, { name, value })).toThrow(
        expect.objectContaining({ code: "ERANGE" }),
      );
    const tooLong = { name: "user.a", value: new Uint8Array(65_537) };
    expect(() => posix.writeAttribute(path, tooLong)).toThrow(
      expect.objectContaining({ code: "E2BIG" }),
    );
  });

  it.runIf(isLinux)("finds data between holes, and leaves the position alone", () => {
    const path = newFile("");
    const mib = 1 << 20;
    withOpen(path, (fd) => {
      expect(posix.dataRanges(fd, 0)).toEqual([]);
      writeSync(fd, Buffer.alloc(mib, 1), 0, mib, mib);
      writeSync(fd, Buffer.alloc(mib, 1), 0, mib, 5 * mib);
      ftruncateSync(fd, 8 * mib);
      expect(posix.dataRanges(fd, 8 * mib)).toEqual([
        { start: mib, length: mib },
        { start: 5 * mib, length: mib },
      ]);
      // What lies behind the size that was asked about does not count.
      expect(posix.dataRanges(fd, mib + 4096)).toEqual([{ start: mib, length: 4096 }]);
      expect(posix.dataRanges(fd, mib)).toEqual([]);
      ftruncateSync(fd, 5 * 2 ** 30 + 7);
      writeSync(fd, "end", 5 * 2 ** 30 + 4);
      expect(posix.dataRanges(fd, 5 * 2 ** 30 + 7).at(-1)).toEqual({
        start: 5 * 2 ** 30,
        length: 7,
      });
      expect(posix.sizeOf(fd)).toBe(5 * 2 ** 30 + 7);
      const first = Buffer.alloc(1, 9);
      readSync(fd, first, 0, 1, null);
      expect(first[0]).toBe(0);
    });
  });

  it.runIf(isLinux)("punches holes that read as zeros", () => {
    withOpen(newFile(new Uint8Array(3 << 20).fill(5)), (fd) => {
      expect(posix.punchHole(fd, { start: 1 << 20, length: 1 << 20 })).toBe(true);
      expect(posix.dataRanges(fd, 3 << 20)).toEqual([
        { start: 0, length: 1 << 20 },
        { start: 2 << 20, length: 1 << 20 },
      ]);
      const bytes = Buffer.alloc(3);
      readSync(fd, bytes, 0, 3, (1 << 20) - 1);
      expect([...bytes]).toEqual([5, 0, 0]);
      expect(fstatSync(fd).size).toBe(3 << 20);
    });
  });

  it.runIf(isLinux)("reserves space without a change of the size", () => {
    withOpen(newFile(""), (fd) => {
      posix.preallocate(fd, 1 << 20);
      const { blocks, size } = fstatSync(fd);
      expect(size).toBe(0);
      expect(blocks * 512).toBeGreaterThanOrEqual(1 << 20);
      expect(() => posix.preallocate(fd, 2 ** 53 - 1)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(EFBIG|ENOSPC)$/) }),
      );
    });
    // A pipe, a device: nothing to reserve, and no failure.
    const fd = openSync("/dev/null", "r+");
    posix.preallocate(fd, 4096);
    expect(posix.punchHole(fd, { start: 0, length: 4096 })).toBe(false);
    closeSync(fd);
  });

  it("flushes a file system", () => {
    withOpen(newFile(), (fd) => posix.syncFileSystem(fd));
  });

  it("works in a worker thread, in silence", async () => {
    const path = newFile();
    const script = `
      import { loadPosix } from ${JSON.stringify(loader)};
      import { lstatSync } from "node:fs";
      import { parentPort, workerData } from "node:worker_threads";
      const posix = await loadPosix({ backend: workerData.backend });
      posix.setTimes(workerData.path, 1n, 123456789n);
      let code;
      try { posix.setTimes(workerData.path + "-missing", 1n, 1n); } catch (error) { code = error.code; }
      parentPort.postMessage([lstatSync(workerData.path, { bigint: true }).mtimeNs, code]);`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
      workerData: { backend, path },
      stderr: true,
      execArgv: ["--conditions=@dm/source"],
    });
    let noise = "";
    worker.stderr.on("data", (text) => {
      noise += text;
    });
    const seen = await new Promise((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
    });
    await worker.terminate();
    expect([seen, noise]).toEqual([[123_456_789n, "ENOENT"], ""]);
  });
});

describe("without a back-end", () => {
  it("does what Node can, and says what is lost", async () => {
    const posix = await loadPosix({ backend: "none" });
    expect(posix.losses.length).toBeGreaterThan(2);
    const path = newFile();
    posix.setTimes(path, 5_000_000_000n, 1_567_000_000_123_456_789n);
    const { atimeNs, mtimeNs } = lstatSync(path, { bigint: true });
    expect(atimeNs).toBe(5_000_000_000n);
    const lost = mtimeNs - 1_567_000_000_123_456_789n;
    expect(lost > -1000n && lost < 1000n).toBe(true);
    for (const before1970 of [-1n, -2_000_000_000_500_000_000n]) {
      posix.setTimes(path, before1970, before1970);
      const apart = lstatSync(path, { bigint: true }).mtimeNs - before1970;
      expect(apart > -1000n && apart < 1000n).toBe(true);
    }
    expect(posix.readAttributes(path)).toEqual([]);
    expect(() => posix.writeAttribute(path, { name: "user.a", value: Uint8Array.of(1) })).toThrow(
      expect.objectContaining({ code: "ENOTSUP" }),
    );
    withOpen(path, (fd) => {
      expect(posix.sizeOf(fd)).toBe(7);
      expect(posix.dataRanges(fd, 7)).toEqual([{ start: 0, length: 7 }]);
      expect(posix.dataRanges(fd, 0)).toEqual([]);
      expect(posix.punchHole(fd, { start: 0, length: 7 })).toBe(false);
      posix.preallocate(fd, 100);
      posix.syncFileSystem(fd);
    });
  });
});

describe("the choice", () => {
  it("is made once", async () => {
    expect(await loadPosix({ backend: "koffi" })).toBe(await loadPosix({ backend: "koffi" }));
    expect(await loadPosix({ backend: "none" })).not.toBe(await loadPosix({ backend: "koffi" }));
  });

  /** Loads in a fresh process; what it says, and its standard error. */
  function choiceOf(pinned: string | undefined, flags: readonly string[] = []): string[] {
    const script = `
      import { describePosix } from ${JSON.stringify(loader)};
      try { console.log((await describePosix()).backend); } catch (error) { console.log(error.code); }`;
    const { DM_POSIX: _, ...environment } = process.env;
    const { stderr, stdout } = spawnSync(
      process.execPath,
      ["--conditions=@dm/source", ...flags, "--input-type=module", "--eval", script],
      { encoding: "utf8", env: { ...environment, ...(pinned && { DM_POSIX: pinned }) } },
    );
    return [stdout.trim(), stderr];
  }

  it("falls to the best that works, in silence", () => {
    expect(choiceOf(undefined)).toEqual([native[0], ""]);
  });

  it.runIf(hasNodeFfi)("falls to the next where Node forbids foreign functions", () => {
    const [backend] = choiceOf(undefined, ["--permission", "--allow-fs-read=*", "--allow-addons"]);
    expect(backend).toBe("koffi");
    expect(choiceOf(undefined, ["--permission", "--allow-fs-read=*"])[0]).toBe("none");
  });

  it("can be pinned by the environment", () => {
    expect(choiceOf("koffi")).toEqual(["koffi", ""]);
    expect(choiceOf("none")).toEqual(["none", ""]);
    expect(choiceOf("other")).toEqual(["DM_POSIX_UNAVAILABLE", ""]);
  });

  it("is described", async () => {
    expect(await describePosix({ backend: "koffi" })).toEqual({
      backend: "koffi",
      losses: (await loadPosix({ backend: "koffi" })).losses,
    });
    const error = await loadPosix({ backend: "other" as never }).catch((reason) => reason);
    expect(isDmError(error, "DM_POSIX_UNAVAILABLE")).toBe(true);
  });
});

describe("errors", () => {
  it.each([
    [28, "ENOSPC: no space left on device, lsetxattr 'x'"],
    [1, "EPERM: operation not permitted, lsetxattr 'x'"],
    [122, "EDQUOT: disk quota exceeded, lsetxattr 'x'"],
    [0, "ERRNO_0: unknown error 0, lsetxattr 'x'"],
  ])("%i", (errno, message) => {
    expect(systemError(errno, "lsetxattr", "x").message).toBe(message);
  });
});
