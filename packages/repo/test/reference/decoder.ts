/**
 * An independent decoder of a Kopia repository: blobs in, verdict out. It shares no code with the libraries of this
 * project, is written from the pages under docs/format, and prefers the obvious to the fast.
 * Proof: test/reference.test.ts runs it on repositories of the real kopia.
 * @module
 */
import { gunzipSync } from "node:zlib";
import { type ActiveIndexes, activeByEpochs, activeByLog, poisonBlob } from "./active-indexes.ts";
import { decrypter, openSchedule } from "./crypto.ts";
import { decompress } from "./decompress.ts";
import { type Format, openBlobConfig, openFormat } from "./format.ts";
import { hashes } from "./hashes.ts";
import { decodeIndex, type Entry, mergeEntries } from "./index-blob.ts";
import { checkPack } from "./pack.ts";

export interface Manifest {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly modified: string;
  readonly data: unknown;
}

/** Something that a sound repository does not have. */
export interface Problem {
  readonly blob: string;
  readonly message: string;
}

export interface Decoded {
  readonly format: Format;
  readonly active: ActiveIndexes;
  /** Deleted contents included. */
  readonly contents: ReadonlyMap<string, Entry>;
  readonly manifests: readonly Manifest[];
  readonly problems: readonly Problem[];
  readContent(id: string): Uint8Array;
  /** The chunks of an object, in order. */
  readObject(id: string): Iterable<Uint8Array>;
}

/** @throws {Error} when the format blob cannot be opened; everything else is a problem in the verdict */
export function decodeRepository(
  blobs: ReadonlyMap<string, Uint8Array>,
  password: string,
): Decoded {
  const format = openFormat(blobs, password);
  const hashOf = hashes[format.hash];
  if (!hashOf) throw new Error(`unknown hash ${format.hash}`);
  const hash = (data: Uint8Array): Uint8Array => hashOf(format.secret, data);
  const hexHash = (data: Uint8Array): string => Buffer.from(hash(data)).toString("hex");
  const open = decrypter(format);
  const ids = [...blobs.keys()].sort();
  const problems: Problem[] = [];
  const attempt = <T>(blob: string, action: () => T): T | undefined => {
    try {
      return action();
    } catch (error) {
      problems.push({ blob, message: String(error) });
      return undefined;
    }
  };

  const openBlob = (id: string): Uint8Array => {
    const name = id.split("-")[0]!;
    const plaintext = open(blobs.get(id)!, Buffer.from(name.slice(-32), "hex"));
    if (!name.endsWith(hexHash(plaintext))) throw new Error("another hash than its name says");
    return plaintext;
  };
  const openText = (id: string): string => Buffer.from(openBlob(id)).toString();

  const active = format.epochsEnabled ? activeByEpochs(ids) : activeByLog(ids, openText);
  const indexes = active.blobs.map(
    (id) => attempt(id, () => openIndexBlob(id, openBlob(id))) ?? [],
  );
  const contents = mergeEntries(indexes);
  for (const [id, entry] of contents)
    if (entry.deleted && entry.timestamp <= active.watermark) contents.delete(id);

  const storedContent = (entry: Entry): Uint8Array => {
    const pack = blobs.get(entry.pack);
    if (!pack) throw new Error(`pack ${entry.pack} is gone`);
    const stored = pack.subarray(entry.offset, entry.offset + entry.packedLength);
    const key = Buffer.from(entry.id.slice(-32), "hex");
    return open(stored, key);
  };
  const plaintextOf = (entry: Entry): Uint8Array => {
    const plain = storedContent(entry);
    if (entry.compression === 0) return plain;
    if (Buffer.from(plain).readUInt32BE(0) !== entry.compression)
      throw new Error("another compression header than the index says");
    return decompress(plain);
  };
  const readContent = (id: string): Uint8Array => {
    const entry = contents.get(id);
    if (!entry) throw new Error(`no content ${id}`);
    return plaintextOf(entry);
  };

  function* readObject(id: string): Generator<Uint8Array> {
    if (id.startsWith("Z")) yield decompress(readContent(id.slice(1)));
    else if (!id.startsWith("I")) yield readContent(id);
    else {
      const index = Buffer.concat([...readObject(id.slice(1))]).toString();
      let at = 0;
      for (const { s: start = 0, l: length = 0, o: part } of JSON.parse(index).entries) {
        if (start !== at) throw new Error(`a chunk of ${id} begins at ${start}, not ${at}`);
        for (const piece of readObject(part)) {
          at += piece.length;
          yield piece;
        }
        if (at !== start + length) throw new Error(`a chunk of ${id} is not of ${length} bytes`);
      }
    }
  }

  const frame = {
    hasFormatCopy: !format.enablePasswordChange,
    open,
    hash,
  };
  const packEntries = new Map<string, Entry[]>();
  for (const id of ids) {
    attempt(id, () => {
      const pack = blobs.get(id)!;
      if (/^[pq]/.test(id)) packEntries.set(id, checkPack(id, pack, frame));
      else checkOther(id, pack, format, openBlob, new Set(active.blobs));
    });
  }

  for (const entry of contents.values()) {
    // A tombstone may outlive its pack.
    if (entry.deleted && !blobs.has(entry.pack)) continue;
    attempt(entry.pack, () => {
      const plain = plaintextOf(entry);
      if (hexHash(plain) !== entry.id.slice(entry.id.length % 2))
        throw new Error(`content ${entry.id} has another hash`);
      if (plain.length !== entry.length) throw new Error(`content ${entry.id} has another length`);
      const stored = storedContent(entry).length;
      if (entry.compression !== 0 && stored >= plain.length)
        throw new Error(`content ${entry.id} is compressed and not smaller`);
      const local = packEntries.get(entry.pack)?.find((other) => other.id === entry.id);
      if (local?.offset !== entry.offset || local.packedLength !== entry.packedLength)
        throw new Error(`the local index does not know content ${entry.id}`);
    });
  }

  const manifestEntries = new Map<string, Manifest & { deleted?: boolean }>();
  for (const { id, deleted, pack } of contents.values()) {
    if (deleted || !id.startsWith("m")) continue;
    attempt(pack, () => {
      for (const manifest of JSON.parse(gunzipSync(readContent(id)).toString()).entries) {
        const known = manifestEntries.get(manifest.id);
        if (!known || comparable(manifest.modified) > comparable(known.modified))
          manifestEntries.set(manifest.id, manifest);
      }
    });
  }
  const manifests = [...manifestEntries.values()].filter((manifest) => !manifest.deleted);
  return { format, active, contents, manifests, problems, readContent, readObject };
}

/** RFC 3339 in UTC with the fraction filled up, so that text compares as time does. */
function comparable(time: string): string {
  const [, seconds, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? [];
  return `${seconds}.${fraction.padEnd(9, "0")}`;
}

/**
 * Outputs of compactions without epochs end in 32 random bytes; their names have no session, as have those of
 * recovered indexes, which end where the index ends. So do all others.
 */
function openIndexBlob(id: string, plaintext: Uint8Array): Entry[] {
  const { entries, trailing } = decodeIndex(plaintext);
  const mayBeRandom = trailing === 32 && /^n[0-9a-f]+$/.test(id);
  if (trailing !== 0 && !mayBeRandom) throw new Error(`${trailing} bytes after the index`);
  return entries;
}

function checkOther(
  id: string,
  bytes: Uint8Array,
  format: Format,
  openBlob: (id: string) => Uint8Array,
  active: ReadonlySet<string>,
): void {
  const text = (): string => Buffer.from(bytes).toString();
  if (id === poisonBlob || active.has(id)) return;
  if (id.startsWith("_log_")) gunzipSync(openBlob(id));
  else if (/^x[nsr]\d+_/.test(id) || /^n[0-9a-f]/.test(id)) openIndexBlob(id, openBlob(id));
  else if (/^[sml][0-9a-f]/.test(id)) JSON.parse(Buffer.from(openBlob(id)).toString());
  else if (/^xe\d+$/.test(id)) {
    if (text() !== "epoch-marker") throw new Error("an epoch marker with another text");
  } else if (/^xw\d+$/.test(id)) {
    if (text() !== "deletion-watermark") throw new Error("a watermark with another text");
  } else if (id === "kopia.blobcfg") {
    openBlobConfig(new Map([[id, bytes]]), format);
  } else if (id === "kopia.maintenance") {
    const key = format.enablePasswordChange ? format.masterKey : format.formatKey;
    JSON.parse(Buffer.from(openSchedule(key, format.uniqueId, bytes)).toString());
  } else if (!/^kopia\.repository(\.backup\.|$)/.test(id) && id !== "udmrepo.Repository") {
    throw new Error("a blob of no known kind");
  }
}
