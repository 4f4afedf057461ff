// The page about manifests: its content is read as the JSON that it shows, and we write the same JSON.

import { gunzipSync } from "node:zlib";
import { utf8Decode } from "@dm/core";
import { expect, it } from "vitest";
import { decodeManifests, encodeManifests } from "../src/manifest/manifest-codec.ts";
import { manifestCompactionThreshold } from "../src/write-session.ts";
import { blockIn, dumpIn, readPage } from "./format-page.ts";

const page = await readPage("manifests");

it("shows a content that we read, and whose JSON we write", () => {
  const stored = dumpIn(page, "gzip");
  const json = `${blockIn(page, "json manifests")}\n`;
  expect(utf8Decode(gunzipSync(stored))).toBe(json);
  const entries = decodeManifests(stored, "m");
  expect(entries.map(({ deleted, labels }) => [labels.type, deleted])).toEqual([
    ["snapshot", false],
    [undefined, true],
  ]);
  expect(utf8Decode(gunzipSync(encodeManifests(entries)))).toBe(json);
  expect(page).toContain(`little-endian: ${json.length} bytes`);
});

it("states when contents are merged", () => {
  expect(page).toContain(`At ${manifestCompactionThreshold} live ones`);
});
