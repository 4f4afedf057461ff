/**
 * A container that keeps versions, as it was at some time: read-only. Of each key the newest version that is not younger counts.
 * Proof: test/s3-versions.test.ts, test/azure-versions.test.ts, test/gcs-versions.test.ts.
 * @module
 */
import type { Repeat } from "../retrying.ts";
import type {
  ByteRange,
  ObjectCall,
  ObjectErrors,
  ReadableObjects,
  StoredObject,
} from "./object-store.ts";

export interface ObjectVersion extends StoredObject {
  readonly version: string;
  /** From when on it was the current one, nanoseconds since 1970. */
  readonly sinceNs: bigint;
  /** Until when; undefined while it is current, and where the next version tells. */
  readonly untilNs?: bigint | undefined;
  /** Stands for a deletion. */
  readonly deleted: boolean;
}

export interface VersionedObjects {
  /** Refuses a container that keeps no versions, with an error. */
  requireVersions(call: ObjectCall): Promise<void>;
  /** Of versions of a key that began at the same time, the newest comes first; last otherwise. */
  readonly newestFirst?: boolean;
  /** Versions by key, those of one key together. */
  versions(prefix: string, repeat: Repeat, call: ObjectCall): AsyncIterable<ObjectVersion>;
  getVersion(
    version: ObjectVersion,
    range: ByteRange | undefined,
    errors: ObjectErrors,
    call: ObjectCall & { readonly maxBytes: number },
  ): Promise<Uint8Array>;
}

/** What was true then stays true, so it may be remembered; this many keys are. */
const maxRemembered = 50_000;

/** Single calls are repeated by the wrapper around the store. */
const once: Repeat = (_signal, run) => run();

/** @param timeNs nanoseconds since 1970 */
export function objectsAt(objects: VersionedObjects, timeNs: bigint): ReadableObjects {
  const remembered = new Map<string, ObjectVersion>();
  let checked: Promise<void> | undefined;

  async function requireVersions(call: ObjectCall): Promise<void> {
    checked ??= objects.requireVersions(call);
    try {
      await checked;
    } catch (error) {
      checked = undefined;
      throw error;
    }
  }

  /** The version of each key that was current at that time. */
  async function* current(prefix: string, repeat: Repeat, call: ObjectCall) {
    let newest: ObjectVersion | undefined;
    for await (const version of objects.versions(prefix, repeat, call)) {
      if (newest && newest.key !== version.key) {
        if (isThere(newest)) yield newest;
        newest = undefined;
      }
      if (version.sinceNs <= timeNs && (!newest || succeeds(version, newest))) newest = version;
    }
    if (newest && isThere(newest)) yield newest;
  }

  const succeeds = (later: ObjectVersion, earlier: ObjectVersion): boolean =>
    later.sinceNs > earlier.sinceNs || (later.sinceNs === earlier.sinceNs && !objects.newestFirst);

  const isThere = ({ deleted, untilNs }: ObjectVersion): boolean =>
    !deleted && (untilNs === undefined || untilNs > timeNs);

  async function find(key: string, errors: ObjectErrors, call: ObjectCall): Promise<ObjectVersion> {
    const known = remembered.get(key);
    if (known) return known;
    await requireVersions(call);
    for await (const version of current(key, once, call)) {
      // The key itself comes before all that it is a prefix of.
      if (version.key !== key) break;
      return remember(version);
    }
    throw errors.missing();
  }

  function remember(version: ObjectVersion): ObjectVersion {
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(version.key, version);
    return version;
  }

  return {
    head: find,
    async get(key, range, errors, call) {
      return objects.getVersion(await find(key, errors, call), range, errors, call);
    },
    async *list(prefix, repeat, call) {
      await repeat(call.signal, () => requireVersions(call));
      for await (const version of current(prefix, repeat, call)) yield remember(version);
    },
  };
}
