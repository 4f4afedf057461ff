/**
 * Names of the file system that are not UTF-8, read as Go reads them: each byte that belongs to no character is one U+FFFD,
 * while the decoder of the platform makes one of a whole cut-off character. Proof: test/file-names.test.ts.
 * @module
 */

/** The text of a name as Kopia stores it. */
export function decodeFileName(bytes: Uint8Array): string {
  let text = "";
  let validFrom = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length > 0) at += length;
    else {
      text += `${decoder.decode(bytes.subarray(validFrom, at))}\ufffd`;
      at += 1;
      validFrom = at;
    }
  }
  return text + decoder.decode(bytes.subarray(validFrom));
}

/** Whether every byte belongs to a character. */
export function isUtf8Name(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length === 0) return false;
    at += length;
  }
  return true;
}

const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes of the character at `at` (The Unicode Standard, table 3-7); 0 when there is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + length > bytes.length) return 0;
  const second = bytes[at + 1] as number;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let next = at + 2; next < at + length; next++) {
    if (((bytes[next] as number) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
