/**
 * CRC-32 (gzip, RFC 1952) and CRC-32C (S2 and Snappy framing), eight bytes a step with eight tables.
 * Proof: test/checksums.test.ts.
 * @module
 */

const ieeePolynomial = 0xedb88320;
const castagnoliPolynomial = 0x82f63b78;

/** Table k, at 256·k, advances a byte by k further zero bytes. Signed values keep V8 on its small-integer path. */
function buildTables(polynomial: number): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : polynomial);
    tables[byte] = crc;
  }
  for (let index = 256; index < tables.length; index++) {
    const previous = tables[index - 256]!;
    tables[index] = (previous >>> 8) ^ tables[previous & 0xff]!;
  }
  return tables;
}

let ieee: Int32Array | undefined;
let castagnoli: Int32Array | undefined;

/** CRC-32 of `data` from `from` up to `to`, unsigned. */
export function crc32(data: Uint8Array, from = 0, to: number = data.length): number {
  ieee ??= buildTables(ieeePolynomial);
  return run(ieee, data, from, to);
}

/** CRC-32C of `data` from `from` up to `to`, unsigned. */
export function crc32c(data: Uint8Array, from = 0, to: number = data.length): number {
  castagnoli ??= buildTables(castagnoliPolynomial);
  return run(castagnoli, data, from, to);
}

function run(tables: Int32Array, data: Uint8Array, from: number, to: number): number {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let crc = -1;
  let at = from;
  for (const wide = to - 8; at <= wide; at += 8) {
    const low = crc ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    crc =
      tables[1792 + (low & 0xff)]! ^
      tables[1536 + ((low >>> 8) & 0xff)]! ^
      tables[1280 + ((low >>> 16) & 0xff)]! ^
      tables[1024 + (low >>> 24)]! ^
      tables[768 + (high & 0xff)]! ^
      tables[512 + ((high >>> 8) & 0xff)]! ^
      tables[256 + ((high >>> 16) & 0xff)]! ^
      tables[high >>> 24]!;
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ tables[(crc ^ data[at]!) & 0xff]!;
  return ~crc >>> 0;
}
