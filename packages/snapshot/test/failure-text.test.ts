// What Node says of failed system calls becomes what Kopia says: words, paths, and what stands before them.
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { failureText } from "../src/upload/failure-text.ts";
import { directory, file, link } from "./memory-source.ts";

function errorOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing failed");
}

const folder = mkdtempSync(join(tmpdir(), "dm-failure-"));
const gone = join(folder, "gone");
rmdirSync(folder);
const at = { localPath: gone };
const noSuch = "no such file or directory";

it("system calls", () => {
  const open = errorOf(() => readFileSync(gone));
  expect(failureText(file("gone", "", at), open, true)).toBe(
    `unable to open file: unable to open local file: open ${gone}: ${noSuch}`,
  );
  const list = errorOf(() => readdirSync(gone));
  const text = `unable to read directory: open ${gone}: ${noSuch}`;
  expect(failureText(directory("gone", [], at), list, false)).toBe(text);
  expect(failureText(directory("gone", [], at), list, true)).toBe(
    `cannot create iterator: ${text}`,
  );
  const readlink = errorOf(() => readlinkSync(gone));
  expect(failureText(link("gone", "", at), readlink, true)).toBe(
    `unable to read symlink: readlink ${gone}: ${noSuch}`,
  );
  const lstat = Object.assign(new Error(`EACCES: permission denied, lstat '${gone}'`), {
    code: "EACCES",
    syscall: "lstat",
    path: gone,
  });
  const failure = { type: "failure", name: "gone", isDirectory: false, error: lstat } as const;
  expect(failureText(failure, lstat, true)).toBe(`lstat ${gone}: permission denied`);
});

it("a failed read has no path of its own, and other words than Go's", () => {
  const read = Object.assign(new Error("EIO: i/o error, read"), { code: "EIO", syscall: "read" });
  expect(failureText(file("f", "", at), read, true)).toBe(`read ${gone}: input/output error`);
  const bytes = new TextEncoder().encode("/a/b");
  expect(failureText(file("b", "", { localPath: bytes }), read, true)).toBe(
    "read /a/b: input/output error",
  );
  expect(failureText(file("b", ""), read, true)).toBe("read b: input/output error");
});

it("what is no system call speaks for itself", () => {
  expect(failureText(file("f", ""), new Error("made up"), true)).toBe("made up");
  expect(failureText(file("f", ""), "text", true)).toBe("text");
});
