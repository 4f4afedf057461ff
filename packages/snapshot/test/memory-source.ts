/** Trees in memory to back up: each entry says what is odd about it. */
import type {
  SourceDirectory,
  SourceEntry,
  SourceFile,
  SourceLink,
  SourceMetadata,
} from "../src/index.ts";

type Metadata = Partial<SourceMetadata>;

const metadataOf = (name: string, mode: number, metadata: Metadata): SourceMetadata => ({
  name,
  mode,
  sizeBytes: 0,
  modifiedAtNs: 1_700_000_000_123_456_789n,
  uid: 1000,
  gid: 1000,
  ...metadata,
});

export interface MemoryFileOptions extends Metadata {
  /** Thrown after that many bytes. */
  readonly failsAfter?: { readonly bytes: number; readonly error: Error } | undefined;
  /** Bytes of a slice; 64 KiB by default. */
  readonly sliceBytes?: number;
  readonly isStream?: boolean;
  /** Called before each slice. */
  readonly onSlice?: (from: number) => Promise<void> | void;
}

/** A file; its size is that of its bytes, unless it says otherwise. */
export function file(
  name: string,
  bytes: Uint8Array | string,
  options: MemoryFileOptions = {},
): SourceFile & { readonly reads: number[] } {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const { failsAfter, isStream, onSlice, sliceBytes = 1 << 16, ...metadata } = options;
  const reads: number[] = [];
  return {
    ...metadataOf(name, 0o644, { sizeBytes: data.length, ...metadata }),
    type: "f",
    ...(isStream ? { isStream } : {}),
    reads,
    async *read({ from = 0, signal } = {}) {
      reads.push(from);
      // One buffer for all slices, as a source may do that says they are borrowed.
      const buffer = new Uint8Array(sliceBytes);
      const end = Math.min(data.length, failsAfter?.bytes ?? data.length);
      for (let at = from; at < end; at += sliceBytes) {
        await onSlice?.(at);
        signal?.throwIfAborted();
        const slice = data.subarray(at, Math.min(end, at + sliceBytes));
        buffer.set(slice);
        yield buffer.subarray(0, slice.length);
        buffer.fill(0xee);
      }
      if (failsAfter) throw failsAfter.error;
    },
  };
}

export function link(
  name: string,
  target: string | Uint8Array,
  metadata: Metadata = {},
): SourceLink {
  const bytes = typeof target === "string" ? new TextEncoder().encode(target) : target;
  return {
    ...metadataOf(name, 0o777, { sizeBytes: bytes.length, ...metadata }),
    type: "s",
    readTarget: async () => bytes,
  };
}

export function directory(
  name: string,
  entries: readonly SourceEntry[] | (() => Promise<readonly SourceEntry[]>),
  metadata: Metadata = {},
): SourceDirectory {
  return {
    ...metadataOf(name, 0o755, metadata),
    type: "d",
    list: typeof entries === "function" ? entries : async () => entries,
  };
}
