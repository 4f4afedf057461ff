/** Tar archives as tar and Go's archive/tar write them, both ways: the program tar reads ours, and we read its. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeTar, decodeTarStream, encodeTar, type TarFile } from "../../src/bucket/tar-codec.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const files: TarFile[] = [
  { path: "metadata/version", bytes: bytes("1.1.0\n") },
  { path: `resources/${"a".repeat(200)}/namespaces/${"b".repeat(63)}/é.json`, bytes: bytes("{}") },
  { path: "empty", bytes: bytes("") },
  { path: "block", bytes: bytes("x".repeat(512)) },
  { path: "after", bytes: bytes("y") },
];
const plain = (list: Iterable<TarFile>): [string, string][] =>
  [...list].map((file) => [file.path, new TextDecoder().decode(file.bytes)]);

/** All before `from` in one. */
async function* inPieces(all: Uint8Array, pieceBytes: number, from: number) {
  if (from > 0) yield all.subarray(0, from);
  for (let at = from; at < all.length; at += pieceBytes) yield all.subarray(at, at + pieceBytes);
}

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-tar-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("a tar archive", () => {
  it("is read as it was written", () => {
    expect(plain(decodeTar(encodeTar(files, new Date(0))))).toEqual(plain(files));
    expect(plain(decodeTar(encodeTar([], new Date(0))))).toEqual([]);
  });

  it("of ours is read by tar", () => {
    const archive = join(folder, "ours.tar");
    writeFileSync(archive, encodeTar(files, new Date("2026-11-22T10:00:00Z")));
    const listed = execFileSync("tar", [
      "-tvf",
      archive,
      "--full-time",
      "--utc",
      "--quoting-style=literal",
    ]);
    expect(listed.toString()).toContain("-rwxr-xr-x 0/0");
    expect(listed.toString()).toContain("2026-11-22 10:00:00");
    execFileSync("tar", ["-xf", archive, "-C", folder]);
    for (const { path, bytes: content } of files)
      expect(new Uint8Array(readFileSync(join(folder, path)))).toEqual(content);
  });

  it.each(["ustar", "pax", "gnu"])("of tar in the format %s is read", (format) => {
    const source = join(folder, "source");
    // 100 bytes of a name and 155 of a prefix are what ustar holds.
    const name = `${"d".repeat(90)}/${"e".repeat(90)}`;
    mkdirSync(join(source, "d".repeat(90)), { recursive: true });
    writeFileSync(join(source, name), "long");
    writeFileSync(join(source, "short"), "z".repeat(1000));
    const archive = join(folder, "theirs.tar");
    const names = readdirSync(source);
    execFileSync("tar", [`--format=${format}`, "-cf", archive, "-C", source, ...names]);
    expect(new Map(plain(decodeTar(readFileSync(archive))))).toEqual(
      new Map([
        [name, "long"],
        ["short", "z".repeat(1000)],
      ]),
    );
  });

  it("that comes in pieces is read as it was written, and a large file takes no longer for it", async () => {
    const large = { path: "large", bytes: new Uint8Array(24 << 20).fill(7) };
    const archive = encodeTar([...files, large, ...files], new Date(0));
    for (const [pieceBytes, from] of [
      [1, archive.length - 4_096],
      [700, 0],
    ] as const) {
      const found: TarFile[] = [];
      // Copied once more with each piece, 24 MiB would be 400 GB.
      for await (const file of decodeTarStream(inPieces(archive, pieceBytes, from)))
        found.push(file);
      expect(found.length).toBe(2 * files.length + 1);
      expect(plain(found.slice(0, files.length))).toEqual(plain(files));
      expect(Buffer.compare(found[files.length]?.bytes ?? new Uint8Array(), large.bytes)).toBe(0);
      expect(plain(found.slice(-files.length))).toEqual(plain(files));
    }
  });

  it("that is cut short or altered is refused", () => {
    const archive = encodeTar(files, new Date(0));
    for (let length = 0; length < archive.length - 512; length += 256)
      expect(() => [...decodeTar(archive.subarray(0, length))]).toThrow(
        expect.objectContaining({ code: "DM_TAR_INVALID" }),
      );
    for (let at = 0; at < 512; at += 7) {
      const altered = Uint8Array.from(archive);
      altered[at] = (altered[at] ?? 0) ^ 0x41;
      expect(() => [...decodeTar(altered)]).toThrow(
        expect.objectContaining({ code: "DM_TAR_INVALID" }),
      );
    }
  });
});
