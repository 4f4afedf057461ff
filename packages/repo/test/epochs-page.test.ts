// The page about epochs: its markers are what we write, its worked example is how we decide, its logs are what we read.
import { manualClock, utf8Decode } from "@dm/core";
import { type BlobMetadata, memoryStore } from "@dm/storage";
import { expect, it } from "vitest";
import { openBlob, sealBlob } from "../src/crypto/crypter.ts";
import { poisonBlobId } from "../src/format/upgrade.ts";
import { EpochManager } from "../src/index-manager/epoch-manager.ts";
import { epochNumber, epochStateOf, planActive } from "../src/index-manager/epoch-state.ts";
import {
  decodeCompactionLog,
  decodeDelayedCleanup,
  encodeCompactionLog,
  encodeDelayedCleanup,
} from "../src/index-manager/v0-log.ts";
import {
  blockIn,
  dumpIn,
  hex,
  jsonIn,
  pageCrypter,
  pageFormat,
  pageRandomBytes,
  readPage,
  rowsIn,
} from "./format-page.ts";

const page = await readPage("epochs");

it("shows the content of markers as we write them", async () => {
  const store = memoryStore();
  const manager = new EpochManager({
    store,
    crypter: pageCrypter,
    clock: manualClock(0n),
    randomBytes: pageRandomBytes,
    parameters: pageFormat.epochParameters,
  });
  await manager.advance(1);
  await manager.setDeletionWatermark(5);
  const shown = utf8Decode(dumpIn(page, "markers"));
  expect(shown).toBe(utf8Decode(await store.get("xe1")) + utf8Decode(await store.get("xw5")));
});

it("shows which blobs are active", () => {
  const sets = ["xr0_6_", "xs7_", "xs9_", "xs11_"];
  for (const set of sets) expect(page).toContain(`\`${set}…\``);
  const blob = (name: string): BlobMetadata => ({
    id: `${name}${"ab".repeat(16)}-s0011223344556677-c1`,
    length: 1,
    timestampNs: 0n,
  });
  const state = epochStateOf({
    markers: [{ id: "xe12", length: 12, timestampNs: 0n }],
    watermarks: [],
    singles: sets.slice(1).map(blob),
    ranges: [blob("xr0_6_")],
    recent: new Map([11, 12, 13].map((epoch) => [epoch, [blob(`xn${epoch}_`)]])),
  });
  const plan = planActive(state);
  const used = [...plan.blobIds, ...plan.epochsToList.map((epoch) => `xn${epoch}_`)]
    .map((id) => `${id.slice(0, id.lastIndexOf("_"))}_`)
    .sort((a, b) => epochNumber(a)! - epochNumber(b)!);
  const rows = rowsIn(page, "### Example");
  const shown = rows
    .filter(([epochs]) => /^\d/.test(epochs!))
    .flatMap(([, from]) => [...from!.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  expect(shown).toEqual(used);
});

it("shows a compaction log as we write and read it", () => {
  const log = decodeCompactionLog(jsonIn(page, "log"), "m");
  expect(log.inputs.length).toBe(1);
  expect(log.outputs.length).toBe(1);
  expect(utf8Decode(encodeCompactionLog(log))).toBe(blockIn(page, "json log"));
  const sealed = sealBlob(pageCrypter, encodeCompactionLog(log), "m");
  expect(page).toContain(`\`${sealed.blobId}\``);
  const start = dumpIn(page, "log-start");
  expect(hex(sealed.data.subarray(0, start.length))).toBe(hex(start));
  expect(utf8Decode(openBlob(pageCrypter, sealed.blobId, sealed.data))).toBe(
    blockIn(page, "json log"),
  );
});

it("shows a list of logs to delete as we write and read it", () => {
  const cleanup = decodeDelayedCleanup(jsonIn(page, "cleanup"), "l");
  expect(cleanup.blobIds).toEqual([`m${"33".repeat(16)}`]);
  expect(utf8Decode(encodeDelayedCleanup(cleanup))).toBe(blockIn(page, "json cleanup"));
});

it("names the blob that stops old clients", () => {
  expect(page).toContain(`\`${poisonBlobId}\``);
});
