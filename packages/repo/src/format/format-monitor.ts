/**
 * Keeps an opened format current: what is older than the cache duration (15 minutes at most) is read again, so that
 * every client sees changed parameters, an upgrade's lock or a changed password in time.
 * Format: docs/format/format-blob.md. Proof: test/format-monitor.test.ts.
 * @module
 */
import { type Clock, systemClock } from "@dm/core";
import type { BlobStore, CallOptions } from "@dm/storage";
import { untilAborted } from "../until-aborted.ts";
import {
  assertNotLocked,
  type FormatReadOptions,
  type OpenedFormat,
  reloadFormat,
} from "./format-store.ts";

/** Longest time for which a client may use a format without reading it again. */
export const maxFormatCacheDurationMs = 15 * 60_000;

export interface FormatMonitorOptions extends Omit<FormatReadOptions, "signal"> {
  /** At most 15 minutes, which is the default; 0 or less reads the format at every question. */
  readonly formatBlobCacheDurationMs?: number | undefined;
}

/** The opened format of a long-lived client. `current` costs nothing until the format has come of age, then two reads. */
export class FormatMonitor {
  readonly #store: BlobStore;
  readonly #options: FormatMonitorOptions;
  readonly #clock: Clock;
  readonly #cacheNs: bigint;
  #opened: OpenedFormat;
  #loading: Promise<OpenedFormat> | undefined;

  constructor(store: BlobStore, opened: OpenedFormat, options: FormatMonitorOptions = {}) {
    const durationMs = options.formatBlobCacheDurationMs ?? maxFormatCacheDurationMs;
    this.#store = store;
    this.#opened = opened;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#cacheNs = BigInt(
      Math.round(Math.min(Math.max(durationMs, 0), maxFormatCacheDurationMs) * 1e6),
    );
  }

  /** The format as it was last read, however old. */
  get latest(): OpenedFormat {
    return this.#opened;
  }

  /**
   * The format, read again first when it has come of age; callers at the same time share one reading.
   * @throws what `reloadFormat` throws, among it `DM_UPGRADE_IN_PROGRESS` and `DM_PASSWORD_INVALID`
   */
  async current(options: CallOptions = {}): Promise<OpenedFormat> {
    options.signal?.throwIfAborted();
    const nowNs = this.#clock.nowNs();
    const ageNs = nowNs - this.#opened.loadedAtNs;
    if (ageNs >= this.#cacheNs || ageNs < 0n) return this.refresh(options);
    // A notice may have run out since.
    assertNotLocked(this.#opened.format, nowNs, this.#options.upgradeOwnerId);
    return this.#opened;
  }

  /** Reads the format now. */
  async refresh(options: CallOptions = {}): Promise<OpenedFormat> {
    this.#loading ??= this.#load();
    return untilAborted(this.#loading, options.signal);
  }

  /** After this client itself has changed the format. */
  replace(opened: OpenedFormat): void {
    this.#opened = opened;
  }

  async #load(): Promise<OpenedFormat> {
    const before = this.#opened;
    try {
      const loaded = await reloadFormat(this.#store, before, this.#options);
      // What was replaced meanwhile is newer than what was read.
      if (this.#opened === before) this.#opened = loaded;
      return this.#opened;
    } finally {
      this.#loading = undefined;
    }
  }
}
