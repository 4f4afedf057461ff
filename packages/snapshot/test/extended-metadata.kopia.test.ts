// The real kopia lists, verifies and restores a snapshot whose entries carry our additional members, and its own snapshot of
// the same tree over ours takes every file over.
import { execFile } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { createRepository, openRepository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, describe, expect, it } from "vitest";
import {
  compareEntries,
  type DirectoryEntry,
  decodeExtendedMetadata,
  encodeDirectory,
  encodeExtendedMetadata,
  readDirectory,
  type SourceDirectory,
  type SourceFile,
  summarizeDirectory,
} from "../src/index.ts";
import { openLocalSource } from "../src/node/local-source.ts";
import { loadPosix } from "../src/node/posix/load-posix.ts";
import { snapshotIn } from "./new-repository.ts";

const peer = requirePeer("kopia");
const run = promisify(execFile);

describe.skipIf(!peer.available)(peer.title("kopia and extended metadata"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-extended-kopia-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  const kopia = async (...parameters: string[]): Promise<string> => {
    const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
    const config = `--config-file=${join(folder, "kopia.config")}`;
    const { stdout } = await run(peer.path, [...flags, config, ...parameters], {
      env: {
        HOME: folder,
        KOPIA_PASSWORD: "p",
        KOPIA_CHECK_FOR_UPDATES: "false",
        KOPIA_CACHE_DIRECTORY: join(folder, "cache"),
      },
    });
    return stdout;
  };

  it("do not disturb each other", async () => {
    const source = join(folder, "source");
    const path = join(folder, "repository");
    mkdirSync(source);
    mkdirSync(path);
    writeFileSync(join(source, "a"), "linked");
    linkSync(join(source, "a"), join(source, "b"));
    writeFileSync(join(source, "c"), "alone");
    // A made-up attribute, so that the test does not depend on the file system that it runs on.
    const attributes = [{ name: 'user."<&>\u00e4', value: Uint8Array.of(0, 1, 255) }];
    const posix = { ...(await loadPosix({ backend: "none" })), readAttributes: () => attributes };

    const store = filesystemStore({ path });
    await createRepository(store, { password: "p" });
    const repository = await openRepository(store, { password: "p" });
    const session = await repository.openWriteSession();
    const options = { keepExtendedMetadata: true, posix };
    const root = (await openLocalSource(source, options)) as SourceDirectory;
    const entries: DirectoryEntry[] = [];
    for (const file of (await root.list()) as readonly SourceFile[]) {
      const { gid, mode, modifiedAtNs, name, sizeBytes, type, uid } = file;
      const objectId = await session.writeObject(readFileSync(join(source, name)));
      const unknownMembers = encodeExtendedMetadata(file.readExtendedMetadata!()!);
      const known = { name, type, mode, sizeBytes, modifiedAtNs, uid, gid, objectId };
      entries.push({ ...known, unknownMembers });
    }
    entries.sort(compareEntries);
    const summary = summarizeDirectory(entries, root.modifiedAtNs);
    const objectId = await session.writeObject(encodeDirectory({ entries, summary }), {
      prefix: "k",
    });
    const { gid, mode, modifiedAtNs, name, uid } = root;
    const rootEntry = { name, type: "d", mode, sizeBytes: 0, modifiedAtNs, uid, gid, objectId };
    const { username } = userInfo();
    const snapshot = await snapshotIn(
      session,
      { ...rootEntry, summary },
      {
        source: { host: hostname().split(".")[0]!.toLowerCase(), userName: username, path: source },
      },
    );
    await session.commit();

    const read = await readDirectory(repository, rootEntry);
    const kept = read.entries.map(({ unknownMembers }) => decodeExtendedMetadata(unknownMembers));
    expect(kept.map((each) => each.attributes)).toEqual([attributes, attributes, attributes]);
    expect(kept[0]!.linkId).toBeDefined();
    expect(kept.map(({ linkId }) => linkId)).toEqual([kept[0]!.linkId, kept[0]!.linkId, undefined]);

    await kopia("repository", "connect", "filesystem", "--path", path);
    expect((await kopia("ls", objectId)).trim().split("\n").sort()).toEqual(["a", "b", "c"]);
    await kopia("snapshot", "verify", "--verify-files-percent=100", snapshot.id);
    const target = join(folder, "target");
    await kopia("restore", snapshot.id, target);
    expect(
      readdirSync(target)
        .sort()
        .map((each) => readFileSync(join(target, each), "utf8")),
    ).toEqual(["linked", "linked", "alone"]);
    const next = JSON.parse(await kopia("snapshot", "create", source, "--json"));
    const { stats } = JSON.parse(
      (await kopia("manifest", "show", next.id)).replace(/^\/\/.*$/gm, ""),
    );
    expect(stats).toMatchObject({ cachedFiles: 3, nonCachedFiles: 0 });
    await repository.close();
  });
});
