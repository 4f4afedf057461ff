// The pages about directories and snapshots: their examples are read, written again to the byte, and summed up the same;
// their tables name every member in the order in which it is written.
import { readFile } from "node:fs/promises";
import { utf8Decode, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import {
  decodeDirectory,
  decodeSnapshotManifest,
  encodeDirectory,
  encodeSnapshotManifest,
  summarizeDirectory,
} from "../src/index.ts";
import { decodeMode, encodeMode } from "../src/mode.ts";

const readPage = (name: string): Promise<string> =>
  readFile(new URL(`../../../docs/format/${name}.md`, import.meta.url), "utf8");
const directories = await readPage("directories");
const snapshots = await readPage("snapshots");

function blockIn(page: string, info: string): string {
  const block = page.split(`\`\`\`${info}\n`)[1]?.split("\n```")[0];
  if (block === undefined) throw new Error(`the page has no block ${info}`);
  return block;
}

/** First cells of the table under a heading. */
function membersIn(page: string, heading: string): string[] {
  const section = page.split(`\n${heading}\n`)[1]?.split(/\n#/)[0] ?? "";
  return [...section.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name!);
}

const orderIn = (json: object): string[] => Object.keys(json);

it("shows directories that we read and write", () => {
  for (const name of ["directory", "empty"]) {
    const text = `${blockIn(directories, `json ${name}`)}\n`;
    const read = decodeDirectory(utf8Encode(text));
    expect(utf8Decode(encodeDirectory(read))).toBe(text);
    const ownTime = read.summary.maxModifiedAtNs;
    expect(summarizeDirectory(read.entries, ownTime)).toEqual(read.summary);
  }
  const [logs, file] = decodeDirectory(utf8Encode(blockIn(directories, "json directory"))).entries;
  expect(logs).toMatchObject({ name: "logs", type: "d", mode: 0o1755, uid: 1000 });
  expect(file).toMatchObject({ name: "a < b.txt", sizeBytes: 6, uid: 0 });
});

it("names the members of entries and summaries in their order", () => {
  const full = {
    name: "a",
    type: "f",
    mode: 1,
    sizeBytes: 1,
    modifiedAtNs: 1n,
    uid: 1,
    gid: 1,
    objectId: "00",
    summary: {
      totalBytes: 1,
      fileCount: 1,
      symlinkCount: 1,
      directoryCount: 1,
      maxModifiedAtNs: 1n,
      incompleteReason: "canceled",
      failedCount: 1,
      ignoredErrorCount: 1,
      failures: [{ path: "a", error: "b" }],
    },
  };
  const written = JSON.parse(
    utf8Decode(encodeDirectory({ entries: [full], summary: full.summary })),
  );
  expect(membersIn(directories, "## Stream")).toEqual(orderIn(written));
  expect(membersIn(directories, "## Entry")).toEqual(orderIn(written.entries[0]));
  expect(membersIn(directories, "## Summary")).toEqual(orderIn(written.summary));
});

it("shows modes as they are stored", () => {
  const rows = [...directories.matchAll(/\| (\d{4}) is `(\d+)` /g)];
  expect(rows).toHaveLength(4);
  for (const [, posix, stored] of rows) {
    expect(encodeMode(Number.parseInt(posix!, 8))).toBe(stored);
    expect(decodeMode(stored!)).toBe(Number.parseInt(posix!, 8));
  }
});

it("shows a snapshot that we read and write, and names its members in their order", () => {
  const text = blockIn(snapshots, "json snapshot");
  const read = decodeSnapshotManifest(text);
  expect(encodeSnapshotManifest(read)).toBe(text);
  expect(read).toMatchObject({ source: { path: "/data/app" }, tags: { "tag:env": "prod" } });
  const all = JSON.parse(encodeSnapshotManifest({ ...read, incompleteReason: "canceled" }));
  expect(membersIn(snapshots, "## Payload")).toEqual(orderIn(all));
});
