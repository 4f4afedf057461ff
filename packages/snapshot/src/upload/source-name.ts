/**
 * Names as the file system has them. Proof: test/upload.test.ts.
 * @module
 */
import type { SourceEntry } from "../source/source-entry.ts";

const slash = 0x2f;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The name of an entry, with a lone surrogate U+DC80 to U+DCFF for each byte that is not UTF-8: so that directories are
 * sorted by the bytes that Kopia sorts them by, and that such a name is not taken for another that looks the same.
 */
export function exactName(entry: SourceEntry): string {
  if (entry.type === "failure" || !(entry.localPath instanceof Uint8Array)) return entry.name;
  const path = entry.localPath;
  const bytes = path.subarray(path.lastIndexOf(slash) + 1);
  if (isUtf8(bytes)) return entry.name;
  let name = "";
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOfCharacter(bytes, at);
    if (length === 0) name += String.fromCharCode(0xdc00 + bytes[at++]!);
    else {
      name += decoder.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return name;
}

/** Bytes of the valid character at `at`; 0 when there is none. */
function lengthOfCharacter(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  return length > 0 && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
