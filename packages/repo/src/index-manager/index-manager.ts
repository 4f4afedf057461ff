/**
 * What the content layer asks of the two index managers: epochs (format 2 and 3) and the old log of compactions (v0).
 * @module
 */
import type { CallOptions } from "@dm/storage";

/** The index blobs that together are the index, and from when on deleted entries count. */
export interface ActiveIndexSet {
  readonly blobIds: readonly string[];
  /** Deleted entries with a timestamp (Unix seconds) up to this do not exist; 0 when there is no watermark. */
  readonly deletionWatermarkSeconds: number;
}

export interface IndexManager {
  /** Lists the store; never answers from memory that is older than the call when `fresh` is set. */
  active(options?: CallOptions & { readonly fresh?: boolean }): Promise<ActiveIndexSet>;
  /**
   * Stores encoded indexes as one set. When it resolves, every client that lists the store sees them.
   * @returns ids of the new blobs, in the order of `indexes`
   */
  write(
    indexes: readonly Uint8Array[],
    options: CallOptions & { readonly sessionId: string },
  ): Promise<string[]>;
}
