/**
 * A program that writes all the time, as databases do, and the question whether its file is whole.
 * Proof: test/demo-pod.test.ts.
 * @module
 */
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

/** Adds a row in a transaction of its own every few milliseconds, until `signal` says stop. */
export async function writeDatabase(path: string, signal: AbortSignal): Promise<number> {
  const database = new DatabaseSync(path);
  // Without a mapped index beside the log: stores into mapped memory change a file but not its time, and so stay unseen by whoever
  // backs up what has changed by times and lengths, as Kopia does.
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
  const insert = database.prepare("INSERT INTO entries (text) VALUES (?)");
  let rows = 0;
  while (!signal.aborted) {
    insert.run(`row ${rows}`.padEnd(500, "."));
    rows += 1;
    await sleep(5, undefined, { signal }).catch(() => {});
  }
  database.close();
  return rows;
}

/** Rows of a database that is whole; throws when it is not. Works on a copy, so that the volume stays as it is. */
export async function checkDatabase(path: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "dm-database-"));
  try {
    const copy = join(folder, "copy.db");
    await copyFile(path, copy);
    await copyFile(`${path}-wal`, `${copy}-wal`).catch(() => {});
    const database = new DatabaseSync(copy);
    try {
      const verdict = database.prepare("PRAGMA integrity_check").get();
      if (verdict?.["integrity_check"] !== "ok") throw new Error(JSON.stringify(verdict));
      const counted = database
        .prepare("SELECT count(*) AS rows, max(id) AS last FROM entries")
        .get();
      if (counted?.["rows"] !== counted?.["last"]) throw new Error("rows are missing in between");
      return Number(counted?.["rows"]);
    } finally {
      database.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
