// As root, on ext4 and xfs: every back-end keeps attributes that only root may set, finds holes, notices a full file system
// before it writes, and asks a device for its size and for zeros; an entry that may not be looked at is a failure.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  decodeExtendedMetadata,
  type ExtendedMetadata,
  encodeExtendedMetadata,
} from "../src/extended-metadata.ts";
import { readExtendedAttributes, writeExtendedAttributes } from "../src/node/extended-metadata.ts";
import { openLocalSource } from "../src/node/local-source.ts";
import { loadPosix, type PosixBackend } from "../src/node/posix/load-posix.ts";
import type { SourceMetadata } from "../src/source/source-entry.ts";
import { fileSystemTypes, LoopDevices } from "./loop-devices.ts";

const root = requirePeer("root");
const natives: PosixBackend[] = process.getBuiltinModule("node:module").isBuiltin("node:ffi")
  ? ["node:ffi", "koffi"]
  : ["koffi"];

let loops: LoopDevices;
beforeEach(async () => {
  if (root.available) loops = await LoopDevices.create();
});
afterEach(async () => {
  if (root.available) await loops[Symbol.asyncDispose]();
});

function withOpen<T>(path: string, flags: string, use: (fd: number) => T): T {
  const fd = openSync(path, flags);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

const mib = 1 << 20;

/** An ACL as the kernel keeps it: version 2, then tag, permissions and id of each entry. */
function accessList(...entries: ReadonlyArray<readonly [tag: number, bits: number, id?: number]>) {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2);
  for (const [index, [tag, bits, id = 0xffff_ffff]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(bits, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  }
  return new Uint8Array(bytes);
}
const [owner, user, group, mask, other] = [1, 2, 4, 0x10, 0x20] as const;

const attributes = [
  // A program that may open ports below 1024: version 2, effective, bit 10.
  {
    name: "security.capability",
    value: Uint8Array.from([1, 0, 0, 2, 0, 4, ...new Uint8Array(14)]),
  },
  {
    name: "system.posix_acl_access",
    value: accessList([owner, 6], [user, 4, 1234], [group, 4], [mask, 4], [other, 0]),
  },
  { name: "trusted.dm", value: Uint8Array.of(0, 1, 255) },
  { name: "user.large", value: new Uint8Array(500).fill(7) },
];

describe.skipIf(!root.available).each(fileSystemTypes())(root.title("a volume of %s"), (type) => {
  it.each(natives)("keeps what a snapshot keeps, through %s", async (backend) => {
    const device = await loops.device(type === "xfs" ? 300 * mib : 64 * mib);
    loops.makeFileSystem(type, device);
    const { path } = loops.mount(device);
    const posix = await loadPosix({ backend });

    const original = join(path, "original");
    writeFileSync(original, "content");
    chmodSync(original, 0o640);
    for (const attribute of attributes) posix.writeAttribute(original, attribute);
    linkSync(original, join(path, "second-name"));
    const entry = await openLocalSource(original, { keepExtendedMetadata: true, posix });
    const seen = (entry as SourceMetadata).readExtendedMetadata?.() as ExtendedMetadata;
    const members = encodeExtendedMetadata(seen);
    const kept = decodeExtendedMetadata(members);
    expect(kept).toEqual({ attributes, linkId: `${lstatSync(original).ino}` });

    // A directory that gives its own ACL to everything in it.
    const target = join(path, "target");
    mkdirSync(target);
    posix.writeAttribute(target, {
      name: "system.posix_acl_default",
      value: accessList([owner, 7], [user, 7, 4321], [group, 5], [mask, 7], [other, 0]),
    });
    const [restored, plain] = [join(target, "restored"), join(target, "plain")];
    for (const file of [restored, plain]) writeFileSync(file, "content");
    expect(readExtendedAttributes(plain, posix).map(({ name }) => name)).toEqual([
      "system.posix_acl_access",
    ]);
    chownSync(restored, 1000, 1000);
    expect(writeExtendedAttributes(restored, kept, posix)).toEqual([]);
    expect(writeExtendedAttributes(plain, { attributes: [] }, posix)).toEqual([]);
    for (const file of [restored, plain]) chmodSync(file, 0o640);
    posix.setTimes(restored, entryTimeNs, entryTimeNs);
    const again = await openLocalSource(restored, { keepExtendedMetadata: true, posix });
    expect(encodeExtendedMetadata((again as SourceMetadata).readExtendedMetadata!()!)).toEqual(
      members.slice(0, 1),
    );
    expect(again).toMatchObject({ mode: 0o640, modifiedAtNs: entryTimeNs, uid: 1000 });
    expect(readExtendedAttributes(plain, posix)).toEqual([]);
    // An attribute that finds no room has the code of the system.
    const tooLarge = { name: "user.more", value: new Uint8Array(65_536) };
    if (type === "ext4")
      expect(() => posix.writeAttribute(restored, tooLarge)).toThrow(
        expect.objectContaining({ code: "ENOSPC", syscall: "lsetxattr" }),
      );
  });

  it.each(natives)("has holes, and no room for too much, through %s", async (backend) => {
    const device = await loops.device(type === "xfs" ? 300 * mib : 64 * mib);
    loops.makeFileSystem(type, device);
    const { path } = loops.mount(device);
    const posix = await loadPosix({ backend });
    withOpen(join(path, "sparse"), "w+", (fd) => {
      ftruncateSync(fd, 1024 * mib);
      writeSync(fd, new Uint8Array(mib).fill(1), 0, mib, 700 * mib);
      expect(posix.dataRanges(fd, 1024 * mib)).toEqual([{ start: 700 * mib, length: mib }]);
      // Reserved, but never written: nothing to read.
      posix.preallocate(fd, 4 * mib);
      expect(posix.dataRanges(fd, 1024 * mib).at(-1)).toEqual({ start: 700 * mib, length: mib });
      expect(posix.punchHole(fd, { start: 700 * mib, length: mib })).toBe(true);
      posix.syncFileSystem(fd);
      expect(posix.dataRanges(fd, 1024 * mib)).toEqual([]);
    });
    withOpen(join(path, "large"), "w+", (fd) => {
      expect(() => posix.preallocate(fd, 2048 * mib)).toThrow(
        expect.objectContaining({
          code: "ENOSPC",
          message: "ENOSPC: no space left on device, fallocate",
        }),
      );
      expect(fstatSync(fd).size).toBe(0);
    });
  });
});
const entryTimeNs = 1_567_000_000_123_456_789n;

describe.skipIf(!root.available)(root.title("a device"), () => {
  it.each([...natives, "none" as const])("tells its size, through %s", async (backend) => {
    const posix = await loadPosix({ backend });
    const sizeBytes = 5 * mib + 512;
    const device = await loops.device(sizeBytes, 0xaa);
    withOpen(device, "r+", (fd) => {
      expect(posix.sizeOf(fd)).toBe(sizeBytes);
      posix.preallocate(fd, sizeBytes);
      // Read from where it stood: asking moved nothing.
      const bytes = new Uint8Array(4096);
      expect(readSync(fd, bytes, 0, 4096, null)).toBe(4096);
      expect(bytes[0]).toBe(0xaa);
      const isPunched = posix.punchHole(fd, { start: 0, length: mib });
      expect(isPunched).toBe(backend !== "none");
      readSync(fd, bytes, 0, 4096, 4096);
      expect(new Set(bytes)).toEqual(new Set([isPunched ? 0 : 0xaa]));
      // Not whole sectors: refused, not rounded.
      expect(posix.punchHole(fd, { start: 1, length: 100 })).toBe(false);
      const total = posix.dataRanges(fd, sizeBytes).reduce((sum, { length }) => sum + length, 0);
      expect(total).toBe(sizeBytes);
    });
  });

  it("is special as the root of a source, as are those in a directory", async () => {
    const path = join(loops.folder, "null");
    mknodOf(path);
    expect(await openLocalSource(path)).toMatchObject({ type: "special", name: "null" });
  });
});

function mknodOf(path: string): void {
  execFileSync("mknod", [path, "c", "1", "3"]);
}

describe.skipIf(!root.available)(root.title("another user"), () => {
  it("sees failures where entries may not be looked at", async () => {
    const script = `
      const { openLocalSource } = await import(process.argv[1]);
      process.setgid(65534); process.setuid(65534);
      const root = await openLocalSource(process.argv[2]);
      const entries = await root.list();
      console.log(JSON.stringify(entries.map(({ name, type, isDirectory, error }) =>
        [name, type, isDirectory, error.code]).sort()));
      const file = await openLocalSource(process.argv[3]);
      try { for await (const _ of file.read()); } catch (error) { console.log(error.code); }
      try { await (await openLocalSource(process.argv[4])).list(); } catch (error) { console.log(error.code); }`;
    chmodSync(loops.folder, 0o755);
    const [folder, secret, closed] = ["listed", "secret", "closed"].map((name) =>
      join(loops.folder, name),
    ) as [string, string, string];
    mkdirSync(join(folder, "directory"), { recursive: true });
    writeFileSync(join(folder, "file"), "");
    // Names may be read, entries may not be looked at.
    chmodSync(folder, 0o744);
    writeFileSync(secret, "");
    chmodSync(secret, 0o600);
    mkdirSync(closed, 0o700);
    const source = new URL("../src/node/local-source.ts", import.meta.url).href;
    const output = execFileSync(
      process.execPath,
      [
        "--conditions=@dm/source",
        "--input-type=module",
        "--eval",
        script,
        source,
        folder,
        secret,
        closed,
      ],
      { encoding: "utf8" },
    );
    expect(output.trim().split("\n")).toEqual([
      '[["directory","failure",true,"EACCES"],["file","failure",false,"EACCES"]]',
      "EACCES",
      "EACCES",
    ]);
  });
});
