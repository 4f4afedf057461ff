/**
 * What the test server holds: buckets of keys, each with its versions, newest first. Every change is a plain value that
 * {@link Buckets} applies in one step, so that a condition checked before it still holds, and that a journal can repeat.
 * Proof: test/testing-s3-checks.test.ts, test/testing-s3-server.test.ts.
 * @module
 */
import type { ChecksumAlgorithm } from "./checksums.ts";
import type { Payloads } from "./payloads.ts";
import { refuse } from "./refusal.ts";
import { compareUtf8 } from "./uri.ts";

export type RetentionMode = "GOVERNANCE" | "COMPLIANCE";

export interface Retention {
  readonly mode: RetentionMode;
  readonly untilMs: number;
}

/** What a bucket with object lock gives to objects that come without a retention. */
export interface DefaultRetention {
  readonly mode: RetentionMode;
  readonly days: number;
}

export interface StoredChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: string;
  /** `COMPOSITE`: of the digests of the parts. */
  readonly type: "FULL_OBJECT" | "COMPOSITE";
}

/** One version of an object, or the mark of its deletion. */
export interface ObjectVersion {
  readonly key: string;
  /** `null` for those of buckets without versions. */
  readonly versionId: string;
  readonly deleteMarker: boolean;
  /** Whole seconds, as lists and heads must agree. */
  readonly modifiedMs: number;
  readonly length: number;
  /** Without quotation marks. */
  readonly etag: string;
  readonly storageClass: string;
  /** Headers that come back as they were given: content type, `x-amz-meta-…`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum?: StoredChecksum | undefined;
  readonly partCount?: number | undefined;
  /** Where the bytes are; empty for marks. */
  readonly payloadId: string;
  readonly retention?: Retention | undefined;
  readonly legalHold?: boolean | undefined;
}

export interface BucketSettings {
  readonly name: string;
  readonly region: string;
  readonly createdMs: number;
  /** Undefined: never switched on. */
  readonly versioning?: "Enabled" | "Suspended" | undefined;
  readonly objectLock: boolean;
  readonly defaultRetention?: DefaultRetention | undefined;
}

export type Change =
  | { readonly do: "setBucket"; readonly settings: BucketSettings }
  | { readonly do: "dropBucket"; readonly name: string }
  /** In front of the other versions; a version `null` takes the place of the one there is. */
  | {
      readonly do: "put";
      readonly bucket: string;
      readonly version: ObjectVersion;
      readonly atMs: number;
    }
  /** The same version with another lock. */
  | { readonly do: "relock"; readonly bucket: string; readonly version: ObjectVersion }
  | {
      readonly do: "remove";
      readonly bucket: string;
      readonly key: string;
      readonly versionId: string;
      readonly atMs: number;
    };

/** How many changes a bucket remembers for lists that are behind. */
const maxHistory = 100_000;

/** What a key had been until then. */
interface PastVersion {
  readonly atMs: number;
  readonly key: string;
  readonly before: ObjectVersion | undefined;
}

export class Bucket {
  settings: BucketSettings;
  /** In byte order of UTF-8; also those whose current version is a delete marker. */
  readonly keys: string[] = [];
  readonly #versions = new Map<string, readonly ObjectVersion[]>();
  readonly #history: PastVersion[] = [];

  constructor(settings: BucketSettings) {
    this.settings = settings;
  }

  /** Newest first. */
  versions(key: string): readonly ObjectVersion[] {
    return this.#versions.get(key) ?? [];
  }

  /** The current version, unless it is a delete marker. */
  current(key: string): ObjectVersion | undefined {
    const [newest] = this.versions(key);
    return newest?.deleteMarker ? undefined : newest;
  }

  /** Keys whose current version was another one at that time, with what it was. */
  changedSince(ms: number): ReadonlyMap<string, ObjectVersion | undefined> {
    const before = new Map<string, ObjectVersion | undefined>();
    for (let index = this.#history.length - 1; index >= 0; index--) {
      const record = this.#history[index] as PastVersion;
      if (record.atMs <= ms) break;
      before.set(record.key, record.before);
    }
    return before;
  }

  /** Replaces the versions of a key; `atMs` unless lists show no difference. */
  setVersions(key: string, versions: readonly ObjectVersion[], atMs?: number): void {
    if (atMs !== undefined) this.#history.push({ atMs, key, before: this.current(key) });
    if (this.#history.length > maxHistory) this.#history.splice(0, maxHistory >> 1);
    const known = this.#versions.has(key);
    if (versions.length > 0) {
      this.#versions.set(key, versions);
      if (!known) this.keys.splice(firstNotBefore(this.keys, key), 0, key);
    } else if (known) {
      this.#versions.delete(key);
      this.keys.splice(firstNotBefore(this.keys, key), 1);
    }
  }
}

/** Index of the first key that is not before `key`. */
export function firstNotBefore(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareUtf8(keys[middle] as string, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** All buckets of a server. */
export class Buckets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #payloads: Payloads;
  readonly #record: (change: Change) => void;

  constructor(payloads: Payloads, record: (change: Change) => void) {
    this.#payloads = payloads;
    this.#record = record;
  }

  /** @throws {S3Refusal} `NoSuchBucket`. */
  get(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (bucket === undefined) throw refuse("NoSuchBucket", { elements: { BucketName: name } });
    return bucket;
  }

  find(name: string): Bucket | undefined {
    return this.#buckets.get(name);
  }

  /** In the order of their names. */
  all(): Bucket[] {
    return [...this.#buckets.values()].sort((a, b) =>
      compareUtf8(a.settings.name, b.settings.name),
    );
  }

  /** Records a change, then makes it; nothing can come between the two. */
  commit(change: Change): void {
    this.#record(change);
    for (const version of this.apply(change)) this.#payloads.drop(version.payloadId);
  }

  /** Makes a change; the versions that are gone are returned. */
  apply(change: Change): readonly ObjectVersion[] {
    switch (change.do) {
      case "setBucket": {
        const bucket = this.#buckets.get(change.settings.name);
        if (bucket) bucket.settings = change.settings;
        else this.#buckets.set(change.settings.name, new Bucket(change.settings));
        return [];
      }
      case "dropBucket":
        this.#buckets.delete(change.name);
        return [];
      case "put": {
        const { version } = change;
        const bucket = this.get(change.bucket);
        const versions = bucket.versions(version.key);
        const gone = versions.filter(
          ({ versionId }) => versionId === "null" && version.versionId === "null",
        );
        const kept = versions.filter((other) => !gone.includes(other));
        bucket.setVersions(version.key, [version, ...kept], change.atMs);
        return gone;
      }
      case "relock": {
        const { version } = change;
        const bucket = this.get(change.bucket);
        const versions = bucket
          .versions(version.key)
          .map((other) => (other.versionId === version.versionId ? version : other));
        bucket.setVersions(version.key, versions);
        return [];
      }
      case "remove": {
        const bucket = this.get(change.bucket);
        const versions = bucket.versions(change.key);
        const gone = versions.filter(({ versionId }) => versionId === change.versionId);
        const kept = versions.filter((version) => !gone.includes(version));
        bucket.setVersions(change.key, kept, change.atMs);
        return gone;
      }
    }
  }

  /** Payloads that some version still needs. */
  payloadIds(): Set<string> {
    const ids = new Set<string>();
    for (const bucket of this.#buckets.values())
      for (const key of bucket.keys)
        for (const { payloadId } of bucket.versions(key)) ids.add(payloadId);
    return ids;
  }
}
