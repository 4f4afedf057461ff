// A tree of this machine is seen as Kopia sees it: types, modes, times, names that are not UTF-8, what vanishes; and files
// are read from any offset, as long as they are by then.
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addEntries, listLocalDirectory, newListing } from "../src/node/local-directory.ts";
import { openLocalSource } from "../src/node/local-source.ts";
import type {
  SourceDirectory,
  SourceEntry,
  SourceFile,
  SourceLink,
} from "../src/source/source-entry.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "dm-source-"));
});
afterAll(() => rmSync(root, { recursive: true }));

function newDirectory(name: string): string {
  const path = join(root, name);
  mkdirSync(path);
  return path;
}

async function list(path: string | Uint8Array): Promise<Map<string, SourceEntry>> {
  const directory = (await openLocalSource(path)) as SourceDirectory;
  return new Map((await directory.list()).map((entry) => [entry.name, entry]));
}

async function contentOf(entry: SourceEntry | undefined, from?: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of (entry as SourceFile).read({ from })) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

describe("entries", () => {
  it("have the type and the metadata that the system has", async () => {
    const path = newDirectory("kinds");
    writeFileSync(join(path, "file"), "12345");
    chmodSync(join(path, "file"), 0o4751);
    utimesSync(join(path, "file"), 1.5, 1_567_000_000.25);
    mkdirSync(join(path, "directory"));
    chmodSync(join(path, "directory"), 0o1777);
    symlinkSync("nowhere/\u00e4", join(path, "link"));
    const server = createServer().listen(join(path, "socket"));
    const entries = await list(path).finally(() => server.close());
    expect([...entries.keys()].sort()).toEqual(["directory", "file", "link", "socket"]);
    const { dev, gid, uid } = lstatSync(join(path, "file"), { bigint: true });
    expect(entries.get("file")).toMatchObject({
      type: "f",
      mode: 0o4751,
      sizeBytes: 5,
      modifiedAtNs: 1_567_000_000_250_000_000n,
      uid: Number(uid),
      gid: Number(gid),
      deviceId: dev,
      localPath: join(path, "file"),
    });
    expect(entries.get("directory")).toMatchObject({ type: "d", mode: 0o1777, sizeBytes: 0 });
    expect(entries.get("link")).toMatchObject({ type: "s", sizeBytes: 10 });
    expect(entries.get("socket")).toMatchObject({ type: "special" });
    const target = await (entries.get("link") as SourceLink).readTarget();
    expect(Buffer.from(target).toString()).toBe("nowhere/\u00e4");
  });

  it("keep nanoseconds", async () => {
    const path = newDirectory("times");
    writeFileSync(join(path, "a"), "");
    const { mtimeNs } = lstatSync(join(path, "a"), { bigint: true });
    expect((await list(path)).get("a")).toMatchObject({ modifiedAtNs: mtimeNs });
  });

  it.runIf(process.platform === "linux")("whose names are not UTF-8 are found below", async () => {
    const path = newDirectory("bytes");
    const bad = Buffer.concat([Buffer.from(`${path}/d`), Buffer.from([0xf0, 0x9f, 0xff])]);
    mkdirSync(bad);
    writeFileSync(Buffer.concat([bad, Buffer.from("/in\u00e4side")]), "found");
    writeFileSync(join(path, "really \ufffd"), "valid");
    const entries = await list(path);
    expect([...entries.keys()].sort()).toEqual(["d\ufffd\ufffd\ufffd", "really \ufffd"]);
    // Valid names stay text, so that nothing takes the slow way without need.
    expect(entries.get("really \ufffd")).toMatchObject({ localPath: join(path, "really \ufffd") });
    expect(await contentOf(entries.get("really \ufffd"))).toEqual(Buffer.from("valid"));
    const directory = entries.get("d\ufffd\ufffd\ufffd") as SourceDirectory;
    expect(Buffer.from(directory.localPath as Uint8Array)).toEqual(bad);
    const [inside] = await directory.list();
    expect(inside).toMatchObject({ type: "f", name: "in\u00e4side", sizeBytes: 5 });
    expect(await contentOf(inside)).toEqual(Buffer.from("found"));
    expect((await openLocalSource(bad)).name).toBe("d\ufffd\ufffd\ufffd");
  });

  it("with newlines and other odd names", async () => {
    const path = newDirectory("odd");
    const names = ["a\nb", " ", "-", "\u{1f600}", "e\u0301", "\\", "*", "n".repeat(255)];
    for (const name of names) writeFileSync(join(path, name), name);
    const entries = await list(path);
    expect([...entries.keys()].sort()).toEqual([...names].sort());
    for (const name of names) expect(await contentOf(entries.get(name))).toEqual(Buffer.from(name));
  });

  it("that vanish after they were listed are left out", () => {
    const path = newDirectory("vanishing");
    writeFileSync(join(path, "stays"), "");
    const listing = newListing(2);
    addEntries(listing, path, ["gone", "stays"], 0, 2);
    expect([listing.count, listing.names]).toEqual([1, ["stays"]]);
  });

  it("of a large directory leave others their turn", async () => {
    const path = newDirectory("large");
    writeFileSync(join(path, "0"), "");
    for (let index = 1; index < 5000; index++) linkSync(join(path, "0"), join(path, `${index}`));
    let turns = 0;
    const counter = setInterval(() => turns++, 0);
    const entries = await list(path).finally(() => clearInterval(counter));
    expect(entries.size).toBe(5000);
    expect(turns).toBeGreaterThan(0);
    const controller = new AbortController();
    const listed = ((await openLocalSource(path)) as SourceDirectory).list(controller);
    controller.abort(new Error("enough"));
    await expect(listed).rejects.toThrow("enough");
  });
});

describe("the root", () => {
  it("is called as the last part of its path", async () => {
    const path = newDirectory("root-name");
    expect(await openLocalSource(`${path}//.//`)).toMatchObject({
      name: "root-name",
      localPath: path,
    });
    expect(await openLocalSource(Buffer.from(`${path}//`))).toMatchObject({ localPath: path });
    expect(await openLocalSource("/")).toMatchObject({ type: "d", name: "/", localPath: "/" });
    expect(await openLocalSource(Buffer.from("//"))).toMatchObject({ name: "/", localPath: "/" });
    const inRoot = (await ((await openLocalSource("/")) as SourceDirectory).list()).find(
      ({ name }) => name === "usr" || name === "Users",
    );
    expect(inRoot).toMatchObject({ localPath: expect.stringMatching(/^\/(usr|Users)$/) });
  });

  it("may be a link, which is followed to its end", async () => {
    const path = newDirectory("target");
    symlinkSync("target", join(root, "link-1"));
    symlinkSync("link-1", join(root, "link-2"));
    const entry = await openLocalSource(join(root, "link-2"));
    expect(entry).toMatchObject({ type: "d", name: "target" });
    expect((entry as SourceDirectory).localPath).toMatch(/\/target$/);
    expect(path).toMatch(/\/target$/);
  });

  it("may be a file", async () => {
    writeFileSync(join(root, "single"), "content");
    const entry = await openLocalSource(join(root, "single"));
    expect(entry).toMatchObject({ type: "f", name: "single", sizeBytes: 7 });
    expect(await contentOf(entry)).toEqual(Buffer.from("content"));
  });

  it("must be there", async () => {
    await expect(openLocalSource(join(root, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(openLocalSource(root, { signal: AbortSignal.abort("no") })).rejects.toBe("no");
  });
});

describe("files", () => {
  it.each([0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3])(
    "of %i bytes are read from any offset",
    async (sizeBytes) => {
      const content = Buffer.alloc(sizeBytes, "0123456789abcdef!");
      const path = join(root, `size-${sizeBytes}`);
      writeFileSync(path, content);
      const entry = await openLocalSource(path);
      for (const from of [undefined, 0, 1, sizeBytes >> 1, sizeBytes, sizeBytes + 10])
        expect((await contentOf(entry, from)).equals(content.subarray(from))).toBe(true);
    },
  );

  it("are read as they are by now", async () => {
    const path = join(root, "changing");
    writeFileSync(path, "short");
    const entry = await openLocalSource(path);
    appendFileSync(path, Buffer.alloc(3 << 20, 1));
    expect(await contentOf(entry)).toHaveLength(5 + (3 << 20));
    writeFileSync(path, "s");
    expect(await contentOf(entry)).toEqual(Buffer.from("s"));
    rmSync(path);
    await expect(contentOf(entry)).rejects.toMatchObject({ code: "ENOENT", path });
    // What has become a link is not followed out of the tree.
    symlinkSync("/etc/passwd", path);
    await expect(contentOf(entry)).rejects.toMatchObject({ code: "ELOOP" });
  });

  it("stop being read when they are left or aborted", async () => {
    const path = join(root, "long");
    writeFileSync(path, Buffer.alloc(4 << 20));
    const entry = (await openLocalSource(path)) as SourceFile;
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of entry.read(controller)) controller.abort(new Error("enough"));
    })();
    await expect(reading).rejects.toThrow("enough");
    for await (const piece of entry.read()) {
      expect(piece).toHaveLength(1 << 20);
      break;
    }
  });
});

describe("listLocalDirectory", () => {
  it("gives arrays that can be posted, and a source takes them", async () => {
    const path = newDirectory("posted");
    writeFileSync(join(path, "a"), "1");
    linkSync(join(path, "a"), join(path, "b"));
    const { dev, ino } = lstatSync(join(path, "a"), { bigint: true });
    const listing = structuredClone(listLocalDirectory(path));
    expect(listing).toMatchObject({
      count: 2,
      inodes: BigUint64Array.of(ino, ino),
      deviceIds: BigUint64Array.of(dev, dev),
      linkCounts: Uint32Array.of(2, 2),
    });
    const asked: unknown[] = [];
    const source = (await openLocalSource(path, {
      list: async (directory) => {
        asked.push(directory);
        return listing;
      },
    })) as SourceDirectory;
    expect((await source.list()).map(({ name }) => name).sort()).toEqual(["a", "b"]);
    expect(asked).toEqual([path]);
  });
});
