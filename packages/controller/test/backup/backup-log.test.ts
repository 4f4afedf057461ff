/** The log of a Backup: lines as Velero writes them, bounded, in the server's log too. */
import { gunzipSync } from "node:zlib";
import { type Logger, silentLogger } from "@dm/core";
import { expect, it } from "vitest";
import { backupLog } from "../../src/backup/backup-log.ts";

const now = () => new Date("2026-11-22T10:00:00.500Z");
const backup = { metadata: { name: "nightly", namespace: "velero" } };
const text = (bytes: Uint8Array): string => gunzipSync(bytes).toString();

it("has lines of key=value", () => {
  const log = backupLog(backup, now, silentLogger);
  log.info("Backed up item", { resource: "pods", name: "a b", none: undefined, count: 2 });
  log.error("Failed", { error: 'it said "no"' });
  log.debug("Unseen");
  expect(text(log.member())).toBe(
    'time="2026-11-22T10:00:00Z" level=info msg="Backed up item" backup=velero/nightly count=2 name="a b" resource=pods\n' +
      'time="2026-11-22T10:00:00Z" level=error msg=Failed backup=velero/nightly error="it said \\"no\\""\n',
  );
});

it("goes to the server's log too", () => {
  const seen: unknown[] = [];
  const server: Logger = { ...silentLogger, warn: (...args) => seen.push(args) };
  backupLog(backup, now, server).warn("Odd", { name: "a" });
  expect(seen).toEqual([["Odd", { name: "a", backup: "velero/nightly" }]]);
});

it("ends when it is too long", () => {
  const log = backupLog(backup, now, silentLogger);
  for (let line = 0; line < 400; line++) log.info("x".repeat(100_000));
  const lines = text(log.member()).split("\n");
  expect(lines.length).toBeLessThan(345);
  expect(lines.at(-2)).toContain("The log ends here");
});
