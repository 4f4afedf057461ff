// Decoding and encoding of one directory of 100,000 entries, a walk over a tree of 20,000 files, and its verification with
// and without reading the data, again with proofs of all of it, and the differences to a tree with one file more in each of
// ten directories, all in a memory store; beside them JSON.parse of the same stream, which no decoder can beat.
import { random, suite } from "@dm/fixtures/bench";
import { createRepository } from "@dm/repo";
import {
  type DirectoryEntry,
  decodeDirectory,
  decodeSnapshotManifest,
  diffTrees,
  encodeDirectory,
  encodeSnapshotManifest,
  findEntry,
  ReadProofs,
  readDirectory,
  summarizeDirectory,
  verifySnapshot,
  walkTree,
} from "@dm/snapshot";
import { memoryStore } from "@dm/storage";

const entryCount = 100_000;
const folderCount = 200;
const filesEach = 100;

const entryOf = (index: number, more: Partial<DirectoryEntry> = {}): DirectoryEntry => ({
  name: `file-${String(index * 7919).padStart(9, "0")}.dat`,
  type: "f",
  mode: 0o644,
  sizeBytes: index,
  modifiedAtNs: 1_700_000_000_123_456_789n + BigInt(index) * 1_000_000_007n,
  uid: 1000,
  gid: 1000,
  objectId: (index * 2654435761).toString(16).padStart(32, "a"),
  ...more,
});

const entries = Array.from({ length: entryCount }, (_, index) => entryOf(index));
const large = { entries, summary: summarizeDirectory(entries, 0n) };
const largeBytes = encodeDirectory(large);
const decoder = new TextDecoder();

const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const repository = await createRepository(memoryStore(), { password: "bench", deriveKey });
const session = await repository.openWriteSession();
const data = random({ bytes: filesEach * folderCount * 1024, seed: 5 });
const folders: DirectoryEntry[] = [];
for (let folder = 0; folder < folderCount; folder++) {
  const files: DirectoryEntry[] = [];
  for (let file = 0; file < filesEach; file++) {
    const at = (folder * filesEach + file) * 1024;
    const objectId = await session.writeObject(data.subarray(at, at + 1024));
    files.push(entryOf(file, { objectId, sizeBytes: 1024 }));
  }
  const summary = summarizeDirectory(files, 0n);
  const objectId = await session.writeObject(encodeDirectory({ entries: files, summary }), {
    prefix: "k",
  });
  folders.push(entryOf(folder, { type: "d", objectId, sizeBytes: 0, summary }));
}
// The same with one file more in each of ten folders.
const changedFolders: DirectoryEntry[] = [...folders];
for (let index = 0; index < 10; index++) {
  const folder = folders[index * 20]!;
  const { entries: files } = await readDirectory(session, folder);
  const more = [...files, entryOf(filesEach, { objectId: files[0]!.objectId, sizeBytes: 1024 })];
  const changedSummary = summarizeDirectory(more, 0n);
  const objectId = await session.writeObject(
    encodeDirectory({ entries: more, summary: changedSummary }),
    { prefix: "k" },
  );
  changedFolders[index * 20] = { ...folder, objectId, summary: changedSummary };
}
const changedSummary = summarizeDirectory(changedFolders, 0n);
const changedId = await session.writeObject(
  encodeDirectory({ entries: changedFolders, summary: changedSummary }),
  { prefix: "k" },
);
const summary = summarizeDirectory(folders, 0n);
const rootId = await session.writeObject(encodeDirectory({ entries: folders, summary }), {
  prefix: "k",
});
await session.commit();
const root = entryOf(0, { name: "root", type: "d", objectId: rootId, sizeBytes: 0, summary });
const snapshot = {
  ...decodeSnapshotManifest('{"source":{"host":"h","userName":"u","path":"/p"}}', "bench"),
  rootEntry: root,
};
const changedRoot = { ...root, objectId: changedId, summary: changedSummary };
const manifest = encodeSnapshotManifest(snapshot);
const fileCount = folderCount * filesEach;

async function countEntries(): Promise<number> {
  let count = 0;
  for await (const { entry } of walkTree(repository, root)) count += entry.type === "f" ? 1 : 0;
  if (count !== fileCount) throw new Error(`${count} files`);
  return count;
}

async function countDifferences(): Promise<number> {
  let count = 0;
  for await (const { before } of diffTrees(repository, root, changedRoot)) count += before ? 0 : 1;
  if (count !== 10) throw new Error(`${count} files more`);
  return count;
}

const proofs = new ReadProofs("", "bench");
await verifySnapshot(repository, snapshot, { proofs });

async function verifyProven(): Promise<void> {
  const { filesProven, findings } = await verifySnapshot(repository, snapshot, { proofs });
  if (findings.length > 0 || filesProven !== fileCount) throw new Error("something is not proven");
}

async function verify(readFiles: "all" | number): Promise<void> {
  const { findings } = await verifySnapshot(repository, snapshot, { readFiles });
  if (findings.length > 0) throw findings[0]!.error;
}

await suite(`snapshot, ${(largeBytes.length / 1e6).toFixed(1)} MB directory`, {}, (measure) => {
  const each = { bytes: largeBytes.length };
  measure(
    `JSON.parse of ${entryCount} entries`,
    () => JSON.parse(decoder.decode(largeBytes)),
    each,
  );
  measure(`decodeDirectory, ${entryCount} entries`, () => decodeDirectory(largeBytes), each);
  measure(`encodeDirectory, ${entryCount} entries`, () => encodeDirectory(large), each);
  measure("decode a snapshot manifest", () => decodeSnapshotManifest(manifest), { operations: 1 });
  const files = { operations: fileCount };
  measure(`walkTree, ${fileCount} files`, countEntries, files);
  measure("findEntry, last of two levels", () =>
    findEntry(repository, root, `${folders.at(-1)!.name}/${entryOf(filesEach - 1).name}`),
  );
  measure(`verifySnapshot, ${fileCount} files, none read`, () => verify(0), files);
  measure(`verifySnapshot, ${fileCount} files, all read`, () => verify("all"), files);
  measure(`verifySnapshot, ${fileCount} files, all proven`, verifyProven, files);
  measure(`diffTrees, 10 of ${folderCount} directories differ`, countDifferences);
});
