/**
 * A versioned bucket as it was at some time: read-only. Of each key the newest version that is not younger counts, and a
 * delete marker means that the blob was not there.
 * Proof: test/s3-versions.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { Repeat } from "../retrying.ts";
import type { S3Objects, S3Version, VersionMarker } from "./s3-objects.ts";

export interface PointInTime {
  /** The version of one key; undefined when there was none. */
  find(key: string, signal: AbortSignal | undefined): Promise<S3Version | undefined>;
  list(prefix: string, signal: AbortSignal | undefined): AsyncIterable<S3Version>;
}

/** What was true then stays true, so it may be remembered; this many keys are. */
const maxRemembered = 50_000;

/** Single calls are repeated by the wrapper around the store. */
const once: Repeat = (_signal, run) => run();

/** @param timeNs nanoseconds since 1970; `repeat` is for the pages of lists */
export function pointInTime(
  objects: S3Objects,
  bucket: string,
  timeNs: bigint,
  repeat: Repeat,
): PointInTime {
  const remembered = new Map<string, S3Version>();
  let checked: Promise<void> | undefined;

  const remember = (version: S3Version): void => {
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(version.key, version);
  };

  async function requireVersions(signal: AbortSignal | undefined): Promise<void> {
    checked ??= objects.isVersioned({ signal }).then((versioned) => {
      if (versioned) return;
      throw new UnsupportedError(
        "DM_STORE_NOT_VERSIONED",
        `bucket ${bucket} keeps no versions: there is no earlier state of it to be seen`,
        { bucket },
      );
    });
    try {
      await checked;
    } catch (error) {
      checked = undefined;
      throw error;
    }
  }

  /** The version of each key at that time, delete markers included; keys that are younger are left out. */
  async function* effective(
    prefix: string,
    signal: AbortSignal | undefined,
    run: Repeat,
  ): AsyncGenerator<S3Version> {
    let decided: string | undefined;
    let marker: VersionMarker | undefined;
    do {
      const from = marker;
      const page = await run(signal, () => objects.versionsPage(prefix, from, { signal }));
      for (const version of inOrder(page.versions)) {
        if (version.key === decided || version.timestampNs > timeNs) continue;
        decided = version.key;
        yield version;
      }
      marker = page.next;
    } while (marker);
  }

  return {
    async find(key, signal) {
      const known = remembered.get(key);
      if (known) return known;
      await requireVersions(signal);
      for await (const version of effective(key, signal, once)) {
        // The key itself comes before all that it is a prefix of.
        if (version.key !== key || version.deleted) return undefined;
        remember(version);
        return version;
      }
      return undefined;
    },
    async *list(prefix, signal) {
      await repeat(signal, () => requireVersions(signal));
      for await (const version of effective(prefix, signal, repeat)) {
        if (version.deleted) continue;
        remember(version);
        yield version;
      }
    },
  };
}

/** Some servers list versions and delete markers apart: within a page, back into one order. */
function inOrder(versions: readonly S3Version[]): readonly S3Version[] {
  const byKey = new Map<string, S3Version[]>();
  for (const version of versions) {
    const same = byKey.get(version.key);
    if (same) same.push(version);
    else byKey.set(version.key, [version]);
  }
  // Keys come in order; of one key the newest first, and of one second in the order of the server.
  return [...byKey.values()].flatMap((same) =>
    same.sort((one, other) => Number(other.timestampNs - one.timestampNs)),
  );
}
