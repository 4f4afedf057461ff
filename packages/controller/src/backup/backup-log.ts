/**
 * The log of one Backup or Restore as it lies in the bucket: lines of `key=value`, as Velero's tools show them. Everything that is
 * written here goes to the server's log too.
 * Proof: test/backup/backup-log.test.ts.
 * @module
 */
import { gzipSync } from "node:zlib";
import type { Logger } from "@dm/core";
import type { Backup, Restore } from "@dm/crds";

type LogFields = Parameters<Logger["info"]>[1];

export interface BackupLog extends Logger {
  /** The lines so far, compressed: a member of the file. */
  member(): Uint8Array;
}

const maxBytes = 32 << 20;

export function backupLog(
  { metadata }: Backup | Restore,
  now: () => Date,
  server: Logger,
  kind: "backup" | "restore" = "backup",
): BackupLog {
  const lines: string[] = [];
  const own = { [kind]: `${metadata.namespace}/${metadata.name}` };
  let bytes = 0;
  const add = (level: string, message: string, fields: LogFields = {}): void => {
    if (bytes > maxBytes) return;
    const line = logLine(now(), level, message, { ...fields, ...own });
    bytes += line.length;
    lines.push(
      bytes > maxBytes ? logLine(now(), "warning", "The log ends here: it is too long") : line,
    );
  };
  const also =
    (method: "debug" | "info" | "warn" | "error", level: string): Logger["info"] =>
    (message, fields) => {
      if (method !== "debug") add(level, message, fields);
      server[method](message, { ...fields, ...own });
    };
  return {
    debug: also("debug", "debug"),
    info: also("info", "info"),
    warn: also("warn", "warning"),
    error: also("error", "error"),
    member: () => gzipSync(lines.join("")),
  };
}

/** @example logLine(now, "info", "Started", { a: 1 }) // time="2026-…" level=info msg=Started a=1 */
function logLine(now: Date, level: string, msg: string, fields: LogFields = {}): string {
  const more = Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
  const pairs = [
    ["time", `${now.toISOString().slice(0, 19)}Z`],
    ["level", level],
    ["msg", msg],
    ...more,
  ];
  return `${pairs.flatMap(([key, value]) => (value === undefined ? [] : `${key}=${quoted(value)}`)).join(" ")}\n`;
}

/** As logrus does: quotes around whatever is no plain word. */
function quoted(value: unknown): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return /^[\w\-./@^+]+$/.test(text) ? text : JSON.stringify(text);
}
