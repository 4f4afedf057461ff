/**
 * Where the bytes of objects are: in memory, or as files of a directory beside a journal of changes, from which the next
 * server on that directory starts. Files have random names; keys never become paths.
 * Proof: test/testing-s3-server.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  read as readPositioned,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Change } from "./buckets.ts";

const readAt = promisify(readPositioned);

export interface Payloads {
  /** Keeps the bytes, which must not change any more; they are called by the id returned. */
  save(bytes: Uint8Array): Promise<string>;
  /** The bytes from `start` up to `end`. What it reads stays readable when it is dropped after the call. */
  read(id: string, start: number, end: number): Promise<Uint8Array>;
  drop(id: string): void;
}

const newId = (): string => randomBytes(16).toString("hex");

export function memoryPayloads(): Payloads {
  const kept = new Map<string, Uint8Array>();
  return {
    async save(bytes) {
      const id = newId();
      kept.set(id, bytes);
      return id;
    },
    async read(id, start, end) {
      return (kept.get(id) ?? new Uint8Array(0)).subarray(start, end);
    },
    drop(id) {
      kept.delete(id);
    },
  };
}

export interface DirectoryState {
  readonly payloads: Payloads;
  /** What was recorded before, in order. */
  readonly changes: readonly Change[];
  record(change: Change): void;
  /** Removes files that nobody needs: those of uploads that came to no end. */
  keepOnly(ids: ReadonlySet<string>): void;
  close(): void;
}

/** Opens a directory, which is made when it is missing. Nothing is forced to the disk: it survives the process, not more. */
export function openDirectory(path: string): DirectoryState {
  const folder = join(path, "payloads");
  const journal = join(path, "journal.jsonl");
  mkdirSync(folder, { recursive: true });
  const changes: Change[] = [];
  const text = readIfThere(journal);
  // A line without an end is a change that nobody was told of.
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  for (const line of whole.split("\n")) if (line !== "") changes.push(JSON.parse(line));
  if (whole.length < text.length) truncateSync(journal, Buffer.byteLength(whole));
  const descriptor = openSync(journal, "a");
  const payloads: Payloads = {
    async save(bytes) {
      const id = newId();
      await writeFile(join(folder, id), bytes);
      return id;
    },
    async read(id, start, end) {
      const file = openSync(join(folder, id), "r");
      try {
        const bytes = new Uint8Array(end - start);
        for (let done = 0; done < bytes.length; ) {
          const { bytesRead } = await readAt(file, bytes, done, bytes.length - done, start + done);
          if (bytesRead === 0) throw new RangeError(`payload ${id} ends before byte ${end}`);
          done += bytesRead;
        }
        return bytes;
      } finally {
        closeSync(file);
      }
    },
    drop(id) {
      if (id !== "") rmSync(join(folder, id), { force: true });
    },
  };
  return {
    payloads,
    changes,
    record(change) {
      writeSync(descriptor, `${JSON.stringify(change)}\n`);
    },
    keepOnly(ids) {
      for (const name of readdirSync(folder)) if (!ids.has(name)) payloads.drop(name);
    },
    close() {
      closeSync(descriptor);
    },
  };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
