// A restore never writes outside its target, whatever the snapshot says and whatever lies in the target already: trees made
// by hand with names that lead out, links in the way of directories and files, and a link put there while it runs.
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { utf8Encode } from "@dm/core";
import { openRepository, type Repository, type WriteSession } from "@dm/repo";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DirectoryEntry, encodeDirectory, summarizeDirectory } from "../src/index.ts";
import { restoreTree } from "../src/node/index.ts";
import { checkGuard } from "../src/node/restore/target-directory.ts";
import { refusedName } from "../src/restore/entry-name.ts";
import { entryOf } from "./made-up.ts";
import { directoryIn, fileIn, newRepository } from "./new-repository.ts";

let folder: string;
let target: string;
let outside: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-hostile-"));
  target = join(folder, "target");
  outside = join(folder, "outside");
  mkdirSync(outside);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function made(
  make: (session: WriteSession) => Promise<DirectoryEntry>,
): Promise<{ repository: Repository; root: DirectoryEntry }> {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const root = await make(session);
  await session.commit();
  return { repository, root };
}

const text = (session: WriteSession, name: string, data = name): Promise<DirectoryEntry> =>
  fileIn(session, name, utf8Encode(data));

async function link(session: WriteSession, name: string, to: string): Promise<DirectoryEntry> {
  const entry = await fileIn(session, name, utf8Encode(to));
  return { ...entry, type: "s", mode: 0o777 };
}

/** Everything below a folder, links as what they are. */
function tree(path: string, name = ""): string[] {
  return readdirSync(join(path, name)).flatMap((child) => {
    const at = name === "" ? child : `${name}/${child}`;
    return lstatSync(join(path, at)).isDirectory() ? [`${at}/`, ...tree(path, at)] : [at];
  });
}

describe("names", () => {
  const bad = [
    "",
    ".",
    "..",
    "../escaped",
    "../../escaped",
    "a/../../escaped",
    "sub/escaped",
    "/escaped",
    "a/",
    "/",
    "zero\0byte",
    "/dev/loop7",
  ];

  it.each(bad)("refuses %j and restores the rest", async (name) => {
    for (const asDirectory of [false, true]) {
      const { repository, root } = await made(async (session) => {
        const inner = await text(session, "inner");
        const hostile = asDirectory
          ? await directoryIn(session, name, [inner])
          : await text(session, name);
        return directoryIn(session, "root", [hostile, await text(session, "zz good")]);
      });
      const report = await restoreTree(repository, root, target);
      expect(report.losses.map(({ code }) => code)).toEqual(["DM_RESTORE_NAME_REFUSED"]);
      expect(report.filesDone).toBe(1);
      expect(tree(folder).sort()).toEqual(["outside/", "target/", "target/zz good"]);
      rmSync(target, { recursive: true });
    }
  });

  it("says how a volume is restored", () => {
    expect(refusedName("/dev/loop7")).toContain("dm restore <snapshot>/dev/loop7 <target>");
  });

  it("takes what is odd but a name", async () => {
    const names = ["...", "..a", " ", "-rf", "a\nb", "\\", "\ufffd", "é", "\u{1f600}", "con", "*"];
    for (const name of names) expect(refusedName(name)).toBeUndefined();
    const { repository, root } = await made(async (session) =>
      directoryIn(session, "root", await Promise.all(names.map((name) => text(session, name)))),
    );
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toEqual([]);
    expect(readdirSync(target).sort()).toEqual([...names].sort());
    for (const name of names) expect(readFileSync(join(target, name), "utf8")).toBe(name);
  });

  it("lists a name that is too long, and restores the rest", async () => {
    const { repository, root } = await made(async (session) =>
      directoryIn(session, "root", [
        await text(session, "x".repeat(300)),
        await text(session, "y"),
      ]),
    );
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toMatchObject([{ path: "x".repeat(300), code: "DM_RESTORE_FAILED" }]);
    expect(report.losses[0]!.reason).toContain("ENAMETOOLONG");
    expect(tree(target)).toEqual(["y"]);
  });

  it("says so when the system takes two names for the same", async () => {
    const { repository, root } = await made(async (session) => {
      const one = json(await text(session, "same", "one"));
      const two = json(await text(session, "same", "two"));
      // Half of a character has no bytes of its own: both become what stands for such.
      const entries = [one.replace("same", "\\ud800"), two.replace("same", "\\udbff")];
      const stream = `{"stream":"kopia:directory","entries":[${entries.join(",")}],"summary":{}}`;
      const objectId = await session.writeObject(utf8Encode(stream), { prefix: "k" });
      return entryOf({ name: "root", type: "d", mode: 0o755, objectId });
    });
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toMatchObject([{ path: "", code: "DM_RESTORE_DIFFERS" }]);
    expect(report.losses[0]!.reason).toContain("2 entries were restored into it and 1 are there");
  });

  it("lists what is no file, directory or link", async () => {
    const { repository, root } = await made(async (session) =>
      directoryIn(session, "root", [{ ...(await text(session, "pipe")), type: "p" }]),
    );
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toMatchObject([{ path: "pipe", code: "DM_RESTORE_TYPE_UNKNOWN" }]);
  });
});

describe("links in the snapshot", () => {
  it("never leads a file through a link of the same name", async () => {
    for (const linkFirst of [true, false]) {
      const { repository, root } = await made(async (session) => {
        const both = [
          await link(session, "a", outside),
          await directoryIn(session, "a", [await text(session, "planted")]),
        ];
        if (!linkFirst) both.reverse();
        // Our encoder sorts; whoever means harm does not.
        const order = `{"stream":"kopia:directory","entries":[${both.map(json).join(",")}],"summary":{}}`;
        const objectId = await session.writeObject(utf8Encode(order), { prefix: "k" });
        return entryOf({ name: "root", type: "d", mode: 0o755, objectId });
      });
      await restoreTree(repository, root, target);
      expect(tree(outside)).toEqual([]);
      expect(tree(target)).toEqual(linkFirst ? ["a/", "a/planted"] : ["a"]);
      rmSync(target, { recursive: true });
    }
  });

  it("restores links that lead anywhere, as links", async () => {
    const { repository, root } = await made(async (session) =>
      directoryIn(session, "root", [
        await link(session, "absolute", outside),
        await link(session, "up", "../outside"),
        await link(session, "itself", "itself"),
        await link(session, "zero", "a\0b"),
      ]),
    );
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toMatchObject([{ path: "zero", code: "DM_RESTORE_FAILED" }]);
    expect(readlinkSync(join(target, "absolute"))).toBe(outside);
    expect(readlinkSync(join(target, "up"))).toBe("../outside");
    expect(readlinkSync(join(target, "itself"))).toBe("itself");
    expect(tree(outside)).toEqual([]);
  });
});

/** An entry as its directory has it. */
function json(entry: DirectoryEntry): string {
  const whole = new TextDecoder().decode(
    encodeDirectory({ entries: [entry], summary: summarizeDirectory([], 0n) }),
  );
  return /"entries":\[(.*)\],"summary"/.exec(whole)![1]!;
}

describe("what lies in the target already", () => {
  const sample = (): Promise<{ repository: Repository; root: DirectoryEntry }> =>
    made(async (session) =>
      directoryIn(session, "root", [
        await directoryIn(session, "sub", [await text(session, "inner")]),
        await text(session, "file"),
        await link(session, "link", "somewhere"),
      ]),
    );

  it("does not follow a link in the place of a directory", async () => {
    const { repository, root } = await sample();
    mkdirSync(target);
    symlinkSync(outside, join(target, "sub"));
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toMatchObject([{ path: "sub", code: "DM_RESTORE_TARGET_CONFLICT" }]);
    expect(report.losses[0]!.reason).toContain("a symbolic link is in the place");
    expect(tree(outside)).toEqual([]);
    expect(report).toMatchObject({ filesDone: 1, symlinksDone: 1 });
  });

  it("removes such a link when told to delete what is extra, not what it leads to", async () => {
    const { repository, root } = await sample();
    mkdirSync(target);
    writeFileSync(join(outside, "precious"), "p");
    symlinkSync(outside, join(target, "sub"));
    symlinkSync(outside, join(target, "extra link"));
    const report = await restoreTree(repository, root, target, { deleteExtra: true });
    expect(report).toMatchObject({ losses: [], deletedSymlinks: 2 });
    expect(tree(outside)).toEqual(["precious"]);
    expect(tree(target).sort()).toEqual(["file", "link", "sub/", "sub/inner"]);
  });

  it("replaces a link in the place of a file, and leaves what it leads to", async () => {
    const { repository, root } = await sample();
    mkdirSync(target);
    const precious = join(outside, "precious");
    writeFileSync(precious, "p");
    symlinkSync(precious, join(target, "file"));
    const kept = await restoreTree(repository, root, target, { overwriteSymlinks: false });
    expect(kept.losses).toMatchObject([{ path: "file", code: "DM_RESTORE_TARGET_CONFLICT" }]);
    expect(lstatSync(join(target, "file")).isSymbolicLink()).toBe(true);
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toEqual([]);
    expect(readFileSync(precious, "utf8")).toBe("p");
    expect(readFileSync(join(target, "file"), "utf8")).toBe("file");
    expect(lstatSync(join(target, "file")).isFile()).toBe(true);
  });

  it("refuses directories, pipes and files where something else is to be", async () => {
    const { repository, root } = await sample();
    mkdirSync(join(target, "file"), { recursive: true });
    writeFileSync(join(target, "sub"), "a file");
    execFileSync("mkfifo", [join(target, "link")]);
    const report = await restoreTree(repository, root, target);
    expect(report.losses).toMatchObject([
      { path: "file", reason: "a directory is in its place" },
      { path: "link", reason: "a device, pipe or socket is in its place" },
      { path: "sub", reason: expect.stringContaining("a file is in the place of this directory") },
    ]);
    for (const { code } of report.losses) expect(code).toBe("DM_RESTORE_TARGET_CONFLICT");
    expect(readFileSync(join(target, "sub"), "utf8")).toBe("a file");
  });

  it("goes through links on the way to the target: they are the caller's", async () => {
    const { repository, root } = await sample();
    symlinkSync(outside, join(folder, "way"));
    const report = await restoreTree(repository, root, join(folder, "way/new"));
    expect(report.losses).toEqual([]);
    expect(tree(outside).sort()).toEqual([
      "new/",
      "new/file",
      "new/link",
      "new/sub/",
      "new/sub/inner",
    ]);
  });

  it.skipIf(process.platform !== "linux")(
    "writes into the directory that it opened, when a link takes its place meanwhile",
    async () => {
      const { repository: writer, root } = await sample();
      let isSwapped = false;
      const { store } = writer;
      const repository = await openRepository(
        {
          ...spread(store),
          async get(id, options) {
            const bytes = await store.get(id, options);
            if (id.startsWith("p") && !isSwapped) {
              isSwapped = true;
              renameSync(join(target, "sub"), join(target, "moved"));
              symlinkSync(outside, join(target, "sub"));
            }
            return bytes;
          },
        },
        { password: "p", deriveKey: async () => new Uint8Array(32).fill(9) },
      );
      const report = await restoreTree(repository, root, target);
      expect(isSwapped).toBe(true);
      expect(tree(outside)).toEqual([]);
      expect(readFileSync(join(target, "moved/inner"), "utf8")).toBe("inner");
      expect(report.filesDone).toBe(2);
    },
  );
});

/** A store's methods bound to it, to replace some. */
function spread(store: Repository["store"]): Repository["store"] {
  return {
    type: store.type,
    displayName: store.displayName,
    features: store.features,
    readOnly: store.readOnly,
    get: (id, options) => store.get(id, options),
    put: (id, data, options) => store.put(id, data, options),
    delete: (id, options) => store.delete(id, options),
    list: (prefix, options) => store.list(prefix, options),
    stat: (id, options) => store.stat(id, options),
    extendRetention: (id, retention, options) => store.extendRetention(id, retention, options),
    capacity: (options) => store.capacity(options),
    close: () => store.close(),
  };
}

describe("where names cannot be resolved from an open directory", () => {
  it("a path that no longer leads to it is refused", () => {
    mkdirSync(target);
    const { dev: deviceId, ino: inode } = lstatSync(target, { bigint: true });
    const guard = { path: target, deviceId, inode };
    checkGuard(guard);
    renameSync(target, `${target} moved`);
    symlinkSync(outside, target);
    expect(() => checkGuard(guard)).toThrow("was exchanged while it was restored");
    checkGuard(undefined);
  });
});
