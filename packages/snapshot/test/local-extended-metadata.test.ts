// Attributes and hard links of this machine's files: read through a source only when asked for, written back so that a file
// has what the snapshot has and nothing of what it inherited.
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExtendedAttribute } from "../src/extended-metadata.ts";
import {
  linkIdOf,
  readExtendedAttributes,
  writeExtendedAttributes,
} from "../src/node/extended-metadata.ts";
import { openLocalSource } from "../src/node/local-source.ts";
import { loadPosix } from "../src/node/posix/load-posix.ts";
import type { Posix } from "../src/node/posix/posix.ts";
import type { SourceDirectory, SourceMetadata } from "../src/source/source-entry.ts";

let root: string;
let posix: Posix;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "dm-extended-"));
  posix = await loadPosix();
});
afterAll(() => rmSync(root, { recursive: true }));

/** A seam in memory, which also has what only the system may set. */
function inMemory(attributes: Record<string, number>, refused: readonly string[] = []) {
  const stored = new Map(
    Object.entries(attributes).map(([name, value]) => [name, Uint8Array.of(value)]),
  );
  const written: string[] = [];
  const check = (name: string) => {
    if (refused.includes(name)) throw Object.assign(new Error("no"), { code: "EPERM" });
    written.push(name);
  };
  return {
    stored,
    written,
    readAttributes: () => [...stored].map(([name, value]) => ({ name, value })),
    writeAttribute: (_path: unknown, { name, value }: ExtendedAttribute) => {
      check(name);
      stored.set(name, value as Uint8Array<ArrayBuffer>);
    },
    removeAttribute: (_path: unknown, name: string) => {
      check(name);
      stored.delete(name);
    },
  };
}

describe("attributes", () => {
  it("of security.selinux are neither read nor written nor removed", () => {
    const seam = inMemory({ "security.selinux": 1, "user.a": 2 });
    expect(readExtendedAttributes("p", seam).map(({ name }) => name)).toEqual(["user.a"]);
    const attributes = [{ name: "security.selinux", value: Uint8Array.of(9) }];
    expect(writeExtendedAttributes("p", { attributes }, seam)).toEqual([]);
    expect([...seam.stored]).toEqual([["security.selinux", Uint8Array.of(1)]]);
  });

  it("become those of the snapshot, with as few calls as that takes", () => {
    const seam = inMemory({
      "user.same": 1,
      "user.other": 2,
      "user.extra": 3,
      "system.posix_acl_access": 4,
      "security.ima": 5,
    });
    const attributes = [
      { name: "user.same", value: Uint8Array.of(1) },
      { name: "user.other", value: Uint8Array.of(20) },
      { name: "user.new", value: Uint8Array.of(30) },
    ];
    expect(writeExtendedAttributes("p", { attributes }, seam)).toEqual([]);
    expect(seam.written).toEqual([
      "user.other",
      "user.new",
      "user.extra",
      "system.posix_acl_access",
    ]);
    expect([...seam.stored.keys()].sort()).toEqual([
      "security.ima",
      "user.new",
      "user.other",
      "user.same",
    ]);
  });

  it("that cannot be restored are named, and do not keep others back", () => {
    const seam = inMemory({}, ["trusted.a"]);
    const attributes = ["trusted.a", "user.b"].map((name) => ({ name, value: Uint8Array.of(1) }));
    expect(writeExtendedAttributes("p", { attributes }, seam)).toEqual([
      { name: "trusted.a", error: expect.objectContaining({ code: "EPERM" }) },
    ]);
    expect([...seam.stored.keys()]).toEqual(["user.b"]);
  });
});

describe("a source", () => {
  it("tells which names are one file, when it is asked to", async () => {
    const path = join(root, "links");
    mkdirSync(join(path, "below"), { recursive: true });
    writeFileSync(join(path, "a"), "1");
    linkSync(join(path, "a"), join(path, "below/b"));
    writeFileSync(join(path, "single"), "1");
    symlinkSync("a", join(path, "link"));
    const all = new Map<string, SourceMetadata>();
    const visit = async (directory: SourceDirectory): Promise<void> => {
      for (const entry of await directory.list()) {
        if (entry.type === "failure") continue;
        all.set(entry.name, entry);
        if (entry.type === "d") await visit(entry);
      }
    };
    await visit((await openLocalSource(path)) as SourceDirectory);
    expect(all.get("a")!.readExtendedMetadata?.()).toBeUndefined();
    await visit((await openLocalSource(path, { keepExtendedMetadata: true })) as SourceDirectory);
    const linkId = `${lstatSync(join(path, "a")).ino}`;
    for (const name of ["a", "b"])
      expect(all.get(name)!.readExtendedMetadata?.()).toEqual({ attributes: [], linkId });
    for (const name of ["single", "link", "below"])
      expect(all.get(name)!.readExtendedMetadata?.()).toEqual({ attributes: [] });
  });

  it("reads attributes of its files", async () => {
    const path = join(root, "with-attribute");
    writeFileSync(path, "");
    const attributes = [{ name: "user.a", value: Uint8Array.of(1, 2) }];
    const seam = { ...(await loadPosix({ backend: "none" })), readAttributes: () => attributes };
    const entry = await openLocalSource(path, { keepExtendedMetadata: true, posix: seam });
    expect((entry as SourceMetadata).readExtendedMetadata?.()).toEqual({ attributes });
    // And with the real system, if it has attributes here at all.
    try {
      posix.writeAttribute(path, attributes[0]!);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOTSUP");
      return;
    }
    const real = await openLocalSource(path, { keepExtendedMetadata: true });
    expect((real as SourceMetadata).readExtendedMetadata?.()).toEqual({ attributes });
  });

  it("names the device of a file only where it is not the root's", () => {
    expect(linkIdOf(5n, 7n, 7n)).toBe("5");
    expect(linkIdOf(5n, 8n, 7n)).toBe("8:5");
  });
});
