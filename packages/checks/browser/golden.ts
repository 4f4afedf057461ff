/**
 * A repository that kopia wrote, read over HTTP: every content re-hashed to its id, every manifest compared, the tree of
 * every snapshot walked and all its files read.
 */
import { fromHex, NotFoundError, toHex, UnsupportedError } from "@dm/core";
import { createHash } from "@dm/hashing";
import { openRepository } from "@dm/repo";
import { listSnapshots, verifySnapshot, walkTree } from "@dm/snapshot";
import type { BlobMetadata, BlobStore } from "@dm/storage";
import { type Outcome, Report, type Source } from "./outcome.ts";

/** A store that can only be read: blobs by id below a URL, listed by one JSON file. */
async function remoteStore(source: Source, base: string): Promise<BlobStore> {
  const list = (await source.json(`${base}/blobs`)) as { id: string; length: number }[];
  const metadata = new Map<string, BlobMetadata>(
    list.map(({ id, length }) => [id, { id, length, timestampNs: 0n }]),
  );
  const stat = async (id: string): Promise<BlobMetadata> => {
    const found = metadata.get(id);
    if (!found) throw new NotFoundError("DM_BLOB_NOT_FOUND", `no blob ${id}`, { blobId: id });
    return found;
  };
  const refuse = async (): Promise<never> => {
    throw new UnsupportedError("DM_READ_ONLY", "this store can only be read");
  };
  return {
    type: "remote",
    displayName: base,
    features: { ifAbsent: false, retention: false, setTimestamp: false },
    readOnly: true,
    stat,
    async get(id, { offset = 0, length } = {}) {
      await stat(id);
      const bytes = await source.bytes(`${base}/blobs/${encodeURIComponent(id)}`);
      return bytes.slice(offset, length === undefined ? undefined : offset + length);
    },
    async *list(prefix) {
      for (const [id, blob] of metadata) if (id.startsWith(prefix)) yield blob;
    },
    put: refuse,
    delete: refuse,
    extendRetention: refuse,
    capacity: async () => undefined,
    close: async () => {},
  };
}

export async function check(source: Source): Promise<Outcome> {
  const report = new Report();
  const expected = await source.json("/golden/expected");
  const store = await remoteStore(source, "/golden");
  const repository = await openRepository(store, { password: expected.password, readOnly: true });

  const lengths = new Map<string, number>();
  const hash = createHash(expected.format.hash, fromHex(expected.format.hmacSecret));
  const all = { includeDeleted: true };
  for await (const { contentId, originalLength } of repository.listContents(all)) {
    lengths.set(contentId, originalLength);
    await report.accepts(async () => {
      const bytes = await repository.readContent(contentId);
      report.equal(bytes.length, originalLength, `length of ${contentId}`);
      const prefix = contentId.length % 2 === 1 ? contentId[0] : "";
      report.equal(`${prefix}${toHex(hash.digest(bytes))}`, contentId, "hash");
    }, `content ${contentId}`);
  }
  report.equal(lengths.size, expected.contents.length, "number of contents");
  for (const { id, length } of expected.contents)
    report.equal(lengths.get(id), length, `length of ${id}`);

  const manifests = await repository.findManifests();
  report.equal(manifests.length, expected.manifests.length, "number of manifests");
  for (const { id, labels, data } of expected.manifests) {
    await report.accepts(async () => {
      const manifest = await repository.readManifest(id);
      report.equal(sorted(manifest.labels), sorted(labels), `labels of ${id}`);
      report.equal(sorted(JSON.parse(manifest.data)), sorted(data), `data of ${id}`);
    }, `manifest ${id}`);
  }
  const snapshots = await listSnapshots(repository);
  report.equal(snapshots.length, expected.snapshots.length, "number of snapshots");
  for (const snapshot of snapshots) {
    const { id, rootEntry: root } = snapshot;
    await report.accepts(async () => {
      if (!root) throw new Error("it has no root");
      const found: string[] = [];
      for await (const { path, entry } of walkTree(repository, root))
        found.push(`${path || "."} ${entry.type} ${entry.objectId}`);
      const listed: { path: string; type: string; objectID: string }[] =
        expected.trees[root.objectId];
      const recorded = listed.map(({ path, type, objectID }) => `${path} ${type} ${objectID}`);
      report.equal(sorted(found.sort()), sorted(recorded.sort()), `tree of ${id}`);
      const { findings } = await verifySnapshot(repository, snapshot);
      for (const { error, path } of findings) throw new Error(path, { cause: error });
    }, `snapshot ${id}`);
  }

  await report.refuses(
    () => openRepository(store, { password: "wrong", readOnly: true }),
    "wrong password",
  );
  await repository.close();
  return report.outcome;
}

/** JSON with the keys in order, so that equal values are equal text. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
