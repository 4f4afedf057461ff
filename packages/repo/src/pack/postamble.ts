/**
 * The postamble at the very end of a pack blob: where its local index lies, for recovery without any index blob.
 * Layout: `uvarint 1, uvarint len(iv), iv, uvarint offset, uvarint length, u32be CRC-32 of all that, u8 length so far`.
 * Format: docs/format/packs.md. Proof: test/pack.test.ts.
 * @module
 */
import { crc32 } from "@dm/compression";

export interface PackPostamble {
  /** Whole hash of the local index's plaintext: key derivation input and associated data. */
  readonly localIndexIv: Uint8Array;
  /** Bytes from the start of the blob. */
  readonly localIndexOffset: number;
  readonly localIndexLength: number;
}

/** Longest postamble, its final length byte included. */
export const maxPostambleBytes = 256;

function appendUvarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}

export function encodePostamble(postamble: PackPostamble): Uint8Array {
  const bytes: number[] = [];
  appendUvarint(bytes, 1);
  appendUvarint(bytes, postamble.localIndexIv.length);
  bytes.push(...postamble.localIndexIv);
  appendUvarint(bytes, postamble.localIndexOffset);
  appendUvarint(bytes, postamble.localIndexLength);
  const crc = crc32(Uint8Array.from(bytes));
  bytes.push(crc >>> 24, (crc >>> 16) & 255, (crc >>> 8) & 255, crc & 255);
  if (bytes.length > 255) throw new RangeError(`postamble of ${bytes.length} bytes`);
  bytes.push(bytes.length);
  return Uint8Array.from(bytes);
}

/**
 * The postamble at the end of `tail` (the last bytes of a pack blob), or undefined when there is none: a pack cut short
 * or altered there. Nothing in it is to be trusted before the local index has been authenticated.
 */
export function decodePostamble(tail: Uint8Array): PackPostamble | undefined {
  const bodyLength = tail.at(-1);
  if (bodyLength === undefined || bodyLength < 5 || bodyLength + 1 > tail.length) return undefined;
  const start = tail.length - 1 - bodyLength;
  const checked = tail.subarray(start, tail.length - 5);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  if (crc32(checked) !== view.getUint32(tail.length - 5)) return undefined;
  let at = 0;
  const uvarint = (): number => {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 7 && at < checked.length; count++) {
      const byte = checked[at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    return -1;
  };
  if (uvarint() !== 1) return undefined;
  const ivLength = uvarint();
  if (ivLength < 0 || at + ivLength > checked.length) return undefined;
  const localIndexIv = checked.slice(at, at + ivLength);
  at += ivLength;
  const localIndexOffset = uvarint();
  const localIndexLength = uvarint();
  if (localIndexOffset < 0 || localIndexLength < 0 || at !== checked.length) return undefined;
  return { localIndexIv, localIndexOffset, localIndexLength };
}
