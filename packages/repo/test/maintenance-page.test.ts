// The page about maintenance: its schedule blob is what we write and read, its defaults and margins are the code's, and
// its tasks are those that a run performs, in their order.
import { utf8Decode } from "@dm/core";
import { memoryStore } from "@dm/storage";
import { expect, it } from "vitest";
import type { OpenedFormat } from "../src/format/format-store.ts";
import { deriveRepositoryKey } from "../src/format/keys.ts";
import { defaultMaintenanceParameters } from "../src/maintenance/parameters.ts";
import { runMaintenance } from "../src/maintenance/run.ts";
import { safetyParameters } from "../src/maintenance/safety.ts";
import { encodeSchedule, readSchedule, writeSchedule } from "../src/maintenance/schedule.ts";
import {
  blockIn,
  dumpIn,
  hex,
  pageFormat,
  pageRandomBytes,
  pageUniqueId,
  readPage,
  rowsIn,
} from "./format-page.ts";
import { newRepository } from "./new-repository.ts";

const page = await readPage("maintenance");
const opened = {
  format: pageFormat,
  uniqueId: pageUniqueId,
  passwordKey: new Uint8Array(32),
} as OpenedFormat;

it("shows the schedule blob as we read and write it", async () => {
  const blob = dumpIn(page, "schedule");
  const store = memoryStore({ blobs: new Map([["kopia.maintenance", blob]]) });
  expect(hex(dumpIn(page, "key"))).toBe(
    hex(deriveRepositoryKey(opened, "maintenance schedule", 32)),
  );
  const schedule = await readSchedule(store, opened);
  expect(schedule.runs.get("cleanup-logs")![0]!.success).toBe(true);
  expect(utf8Decode(encodeSchedule(schedule))).toBe(blockIn(page, "json schedule"));
  await writeSchedule(store, opened, schedule, { randomBytes: pageRandomBytes });
  expect(hex(await store.get("kopia.maintenance"))).toBe(hex(blob));
});

it("states the defaults", () => {
  const { full, logRetention, quick } = defaultMaintenanceParameters("u@h");
  expect(page).toContain(`\`interval\` ${quick.interval} `);
  expect(page).toContain(`\`interval\` ${full.interval} `);
  const { maxAge, maxCount, maxTotalSize } = logRetention;
  expect(page).toContain(
    `\`maxTotalSize\` ${maxTotalSize}, \`maxCount\` ${maxCount}, \`maxAge\` ${maxAge} `,
  );
});

it("states the margins", () => {
  const hours = rowsIn(page, "## Safety")
    .slice(2)
    .map(([, margin]) => Number.parseInt(margin!, 10) * 3_600_000);
  const { full } = safetyParameters;
  expect(hours).toEqual([
    full.rewriteMinAgeMs,
    full.packDeleteMinAgeMs,
    full.sessionExpirationMs,
    full.rewriteToOrphanDeletionDelayMs,
  ]);
});

it.each([
  ["quick", "epochs"],
  ["quick", "without"],
  ["full", "epochs"],
  ["full", "without"],
] as const)("lists the tasks of a %s run, %s", async (mode, manager) => {
  const row = rowsIn(page, "## A run").find(([kind, index]) => kind === mode && index === manager)!;
  const shown = [...row[2]!.matchAll(/`([a-z]+-[a-z-]+)`/g)].map(([, task]) => task);
  const { repository } = await newRepository(manager === "without" ? { version: 1 } : {});
  const { tasks } = await runMaintenance(repository, { mode });
  // Object locks are prolonged only where the parameters say so.
  expect(tasks.map(({ task }) => task)).toEqual(
    shown.filter((task) => task !== "extend-blob-retention-time"),
  );
});
