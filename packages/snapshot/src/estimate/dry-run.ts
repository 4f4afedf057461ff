/**
 * The end of a data plane that stores nothing: chunks are hashed and looked up, and what a session would have stored is
 * counted. Memory: the ids of new contents. Proof: test/estimate.test.ts.
 * @module
 */
import { compress } from "@dm/compression";
import {
  type ContentId,
  contentIdFromHash,
  type IndirectEntry,
  type ObjectWriterOptions,
  type Repository,
} from "@dm/repo";
import type { PlaneSession } from "../upload/in-place-plane.ts";

export class DryRun implements PlaneSession {
  readonly #repository: Repository;
  readonly #seen = new Set<ContentId>();
  /** Contents that the repository does not have. */
  newContents = 0;
  /** Their bytes. */
  newBytes = 0;
  /** Their bytes in packs: compressed and encrypted. */
  storedBytes = 0;

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  get sealedContents(): PlaneSession["sealedContents"] {
    const sealed = (): never => {
      throw new TypeError("a dry run seals nothing");
    };
    return { format: this.#repository.format, prepare: sealed, has: sealed, write: sealed };
  }

  async objectParts(): Promise<readonly IndirectEntry[]> {
    return [];
  }

  /** The id of a part is not needed to count: only that of its content is made. */
  async writePart(data: Uint8Array, options: ObjectWriterOptions = {}): Promise<string> {
    const { compressor, prefix = "", signal } = options;
    const { crypter, format } = this.#repository;
    // Version 1 of the index stores compressed objects under the hash of what the compressor made.
    const isObjectCompressed = format.indexVersion === 1 && !prefix && data.length > 0;
    let payload = data;
    if (compressor && isObjectCompressed) payload = smaller(compress(compressor, data), data);
    const id = contentIdFromHash(prefix, crypter.hash.digest(payload));
    if (this.#seen.has(id)) return id;
    const existing = await this.#repository.contentInfo(id, { signal });
    // Another file under way may have had the same chunk meanwhile.
    if ((existing && !existing.deleted) || this.#seen.has(id)) return id;
    this.#seen.add(id);
    if (compressor && format.indexVersion > 1 && data.length > 0)
      payload = smaller(compress(compressor, data), data);
    this.newContents += 1;
    this.newBytes += data.length;
    this.storedBytes += crypter.storedLength(payload.length);
    return id;
  }

  /** What lies above the parts of large files is not counted: some hundred bytes for each part. */
  async joinParts(parts: readonly IndirectEntry[]): Promise<never> {
    return (parts[0]?.objectId ?? "") as never;
  }
}

const smaller = (compressed: Uint8Array, plain: Uint8Array): Uint8Array =>
  compressed.length < plain.length ? compressed : plain;
