/**
 * The body of a watch: one JSON object a line.
 * Proof: test/runtime/watch-lines.test.ts.
 * @module
 */
import { unavailable } from "./kube-errors.ts";

/** Far above what the API server stores for one object; a longer line is not a watch. */
export const maxWatchLineBytes = 32 << 20;

export interface LineSplitter {
  /** The lines that `chunk` completes. */
  push(chunk: Uint8Array): string[];
}

/**
 * Cuts bytes into lines wherever chunks end. What follows the last line break is never a line: a connection that broke in the
 * middle of an object has not delivered it.
 * @throws {StorageError} (from `push`) `DM_KUBE_UNAVAILABLE` for a line beyond {@link maxWatchLineBytes}
 */
export function createLineSplitter(): LineSplitter {
  let parts: Buffer[] = [];
  let length = 0;
  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      const lines: string[] = [];
      let from = 0;
      for (;;) {
        const end = bytes.indexOf(0x0a, from);
        if (end < 0) break;
        const piece = bytes.subarray(from, end);
        const line = parts.length === 0 ? piece : Buffer.concat([...parts, piece]);
        parts = [];
        length = 0;
        if (line.length > 0) lines.push(line.toString("utf8"));
        from = end + 1;
      }
      const rest = bytes.subarray(from);
      if (rest.length > 0) {
        parts.push(rest);
        length += rest.length;
      }
      if (length > maxWatchLineBytes) {
        throw unavailable(`a watch sent a line of more than ${maxWatchLineBytes} bytes`);
      }
      return lines;
    },
  };
}
