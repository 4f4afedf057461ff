// Rules of several directories together: verdicts from the root down, files of rules, what a policy of a directory changes;
// sizes and other file systems; which files of rules are asked for. Beside kopia in test/ignore.kopia.test.ts.
import { utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import {
  emptyPolicy,
  type FilesPolicy,
  IgnoreContext,
  isCacheDirectoryTag,
  policyTree,
  type SourceEntry,
  setPolicy,
} from "../src/index.ts";
import { newRepository } from "./new-repository.ts";

const source = { host: "h", userName: "u", path: "/data" };

/** Policies by path below the root, and files of rules by path. */
async function contextOf(
  policies: Readonly<Record<string, FilesPolicy>> = {},
  files: Readonly<Record<string, string>> = {},
) {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  for (const [path, filesPolicy] of Object.entries(policies))
    await setPolicy(
      session,
      { ...source, path: `${source.path}${path}` },
      { ...emptyPolicy, files: filesPolicy },
    );
  const asked: string[] = [];
  const readIn = (directory: string) => async (name: string) => {
    asked.push(`${directory}/${name}`);
    const text = files[`${directory}/${name}`];
    return text === undefined ? undefined : utf8Encode(text);
  };
  const root = await IgnoreContext.forRoot(await policyTree(session, source), readIn(""));
  const enter = async (path: string): Promise<IgnoreContext> => {
    let context = root;
    let at = "";
    for (const name of path.split("/").slice(1)) {
      at += `/${name}`;
      context = await context.enter(name, readIn(at));
    }
    return context;
  };
  return { root, enter, asked };
}

it("asks rules from the root down, the later ones last", async () => {
  const { enter, root } = await contextOf(
    { "": { ignore: ["*.log", "!keep.log", "tmp/"] } },
    { "/a/.kopiaignore": "!2.log\n*.txt\r\n/here\n", "/a/b/.kopiaignore": "2.log\n!1.txt" },
  );
  expect(root.isIgnored("1.log", false)).toBe(true);
  expect(root.isIgnored("keep.log", false)).toBe(false);
  expect(root.isIgnored("tmp", true)).toBe(true);
  expect(root.isIgnored("tmp", false)).toBe(false);
  const a = await enter("/a");
  expect(a.isIgnored("1.log", false)).toBe(true);
  expect(a.isIgnored("2.log", false)).toBe(false);
  expect(a.isIgnored("1.txt", false)).toBe(true);
  expect(a.isIgnored("here", true)).toBe(true);
  const b = await enter("/a/b");
  expect(b.isIgnored("2.log", false)).toBe(true);
  expect(b.isIgnored("1.txt", false)).toBe(false);
  expect(b.isIgnored("here", true)).toBe(false);
});

it("reads the files that the policy of the directory names, and none for its own raw policy", async () => {
  const { asked, enter } = await contextOf({
    "": { ignoreDotFiles: [".x", ".y"] },
    "/raw": { ignore: ["z"] },
    "/own": { ignoreDotFiles: [".z"] },
  });
  const deep = await enter("/raw/deep");
  await enter("/own/deep");
  await enter("/plain");
  expect(asked.sort()).toEqual(["/.x", "/.y", "/own/.z", "/own/deep/.z", "/plain/.x", "/plain/.y"]);
  expect(deep.isIgnored("z", false)).toBe(true);
});

it("has limits of size and file system, inherited until a policy says otherwise", async () => {
  const { enter, root } = await contextOf({
    "": { maxFileSize: 100, oneFileSystem: true },
    "/free": { ignore: [] },
    "/wide": { maxFileSize: 1000 },
  });
  const entry = (type: "d" | "f" | "s", sizeBytes: number, deviceId = 1n): SourceEntry =>
    ({ type, name: "a", sizeBytes, deviceId }) as SourceEntry;
  expect(root.isBeyondLimits(entry("f", 100), 1n)).toBe(false);
  expect(root.isBeyondLimits(entry("f", 101), 1n)).toBe(true);
  expect(root.isBeyondLimits(entry("s", 101), 1n)).toBe(true);
  expect(root.isBeyondLimits(entry("d", 4096), 1n)).toBe(false);
  expect(root.isBeyondLimits(entry("d", 0, 2n), 1n)).toBe(true);
  expect(
    root.isBeyondLimits({ type: "failure", name: "a", isDirectory: false, error: undefined }, 1n),
  ).toBe(false);
  const free = await enter("/free");
  expect(free.isBeyondLimits(entry("f", 101), 1n)).toBe(true);
  expect(free.isBeyondLimits(entry("f", 1, 2n), 1n)).toBe(false);
  expect((await enter("/wide/deep")).isBeyondLimits(entry("f", 101), 1n)).toBe(false);
});

it("knows cache directories by their tag", () => {
  const signature = "Signature: 8a477f597d28d172789f06886806bc55";
  expect(isCacheDirectoryTag(utf8Encode(`${signature}\nmore`))).toBe(true);
  expect(isCacheDirectoryTag(utf8Encode(signature.slice(0, -1)))).toBe(false);
  expect(isCacheDirectoryTag(utf8Encode(` ${signature}`))).toBe(false);
});

it("refuses rules that are none, and files that are too large", async () => {
  const read = (text: string) => contextOf({}, { "/.kopiaignore": text });
  await expect(read("fine\n[a")).rejects.toMatchObject({ code: "DM_IGNORE_RULE_INVALID" });
  await expect(read("a\n".repeat(600_000))).rejects.toMatchObject({
    code: "DM_IGNORE_FILE_TOO_LARGE",
  });
  // A line that is too long for kopia ends the file.
  const { root } = await read(`a\n${"x".repeat(65_536)}\nb`);
  expect([root.isIgnored("a", false), root.isIgnored("b", false)]).toEqual([true, false]);
});

it("ends in time where there are many rules", async () => {
  const rules = Array.from({ length: 50 }, (_, index) => `*.${index}\n/dir${index}/x`);
  const { root } = await contextOf({}, { "/.kopiaignore": rules.join("\n") });
  const started = performance.now();
  for (let index = 0; index < 20_000; index++) root.isIgnored(`name-${index}.txt`, false);
  expect(performance.now() - started).toBeLessThan(30_000);
});
