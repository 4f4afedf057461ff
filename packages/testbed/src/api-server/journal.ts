/**
 * The state of the server in a directory: one file of JSON lines, a snapshot followed by every change, rewritten when it has grown
 * to several times what it holds; and the server's key, certificate and port, so that kubeconfig files stay valid. Changes are
 * written before the request is answered, without fsync: a killed process loses nothing, a machine without power may.
 * Proof: test/api-server/persistence.test.ts.
 * @module
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { FormatError } from "@dm/core";
import type { StoredObject } from "../kube-object.ts";
import type { ServerCertificate } from "./certificate.ts";

export interface JournalEntry {
  readonly resource: string;
  readonly key: string;
  readonly version: number;
  /** Null where it was removed. */
  readonly object: StoredObject | null;
}

export interface Journal {
  /** What the directory held, in the order of the writes. */
  readonly entries: readonly JournalEntry[];
  readonly version: number;
  append(entry: JournalEntry): void;
  close(): void;
}

/** What makes a server the same one after a restart. */
export interface ServerIdentity {
  /** Base64. */
  readonly tokenKey: string;
  readonly certificate: ServerCertificate | undefined;
  readonly port: number | undefined;
}

const journalName = "objects.jsonl";
const identityName = "server.json";

/** The file is rewritten when it has this many lines more than four times the objects. */
const spareLines = 1000;

/** @throws {FormatError} `DM_TESTBED_STATE` when the file is damaged elsewhere than at its end */
export function openJournal(directory: string): Journal {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, journalName);
  const { entries, version: last } = existsSync(path)
    ? readJournal(path)
    : { entries: [], version: 0 };
  const live = new Map<string, JournalEntry>();
  let version = last;
  let lines = 0;
  let file = -1;

  const apply = (entry: JournalEntry): void => {
    const id = `${entry.resource} ${entry.key}`;
    if (entry.object === null) live.delete(id);
    else live.set(id, entry);
    version = Math.max(version, entry.version);
  };
  const rewrite = (): void => {
    if (file !== -1) closeSync(file);
    const texts = [{ version }, ...live.values()].map((line) => `${JSON.stringify(line)}\n`);
    writeFileSync(`${path}.new`, texts.join(""), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    file = openSync(path, "a", 0o600);
    lines = texts.length;
  };

  for (const entry of entries) apply(entry);
  const restored = [...live.values()];
  rewrite();
  return {
    entries: restored,
    version,
    append(entry) {
      apply(entry);
      writeSync(file, `${JSON.stringify(entry)}\n`);
      lines++;
      if (lines > 4 * live.size + spareLines) rewrite();
    },
    close() {
      if (file !== -1) closeSync(file);
      file = -1;
    },
  };
}

function readJournal(path: string): { entries: JournalEntry[]; version: number } {
  const texts = readFileSync(path, "utf8").split("\n");
  // Without a line break at its end the last write was cut off.
  texts.pop();
  const entries: JournalEntry[] = [];
  let version = 0;
  for (const [index, text] of texts.entries()) {
    try {
      const line = JSON.parse(text);
      if (line.resource === undefined) version = line.version;
      else entries.push(line);
    } catch (cause) {
      throw new FormatError(
        "DM_TESTBED_STATE",
        `line ${index + 1} of ${journalName} is not readable: remove the directory to begin with an empty cluster`,
        { line: index + 1 },
        { cause },
      );
    }
  }
  return { entries, version };
}

export function readIdentity(directory: string): ServerIdentity | undefined {
  const path = join(directory, identityName);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

export function writeIdentity(directory: string, identity: ServerIdentity): void {
  const path = join(directory, identityName);
  writeFileSync(`${path}.new`, JSON.stringify(identity), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
