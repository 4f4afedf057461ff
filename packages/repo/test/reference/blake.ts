/**
 * BLAKE2b, BLAKE2s (RFC 7693, keyed) and BLAKE3 (keyed), by the book: what node:crypto does not have.
 * @module
 */

const ivBits = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
];
/** Words of BLAKE2s and BLAKE3: the upper halves. */
const iv32 = Uint32Array.from(ivBits, (bits) => Number(bits >> 32n));
/** Words of BLAKE2b as pairs low, high. */
const iv64 = Uint32Array.from(
  ivBits.flatMap((bits) => [Number(bits & 0xffffffffn), Number(bits >> 32n)]),
);

const sigma = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
/** The eight mixes of a round: four columns, four diagonals. */
const lanes = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
];

function words(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}

function bytesOf(state: Uint32Array, length: number): Uint8Array {
  const bytes = new Uint8Array(state.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < state.length; i += 1) view.setUint32(4 * i, state[i]!, true);
  return bytes.subarray(0, length);
}

/** What BLAKE2 hashes: the key as a block of its own, the message, zeros up to a whole number of blocks. */
function* blake2Blocks(message: Uint8Array, key: Uint8Array, blockLength: number) {
  const keyLength = key.length > 0 ? blockLength : 0;
  const total = keyLength + message.length;
  const padded = new Uint8Array(Math.max(1, Math.ceil(total / blockLength)) * blockLength);
  padded.set(key);
  padded.set(message, keyLength);
  for (let at = 0; at < padded.length; at += blockLength) {
    yield {
      m: words(padded.subarray(at, at + blockLength)),
      count: Math.min(at + blockLength, total),
      last: at + blockLength === padded.length,
    };
  }
}

// Arithmetic on 64-bit words that lie in a Uint32Array as low, high; a, b are positions of the low half.
function add64(v: Uint32Array, a: number, low: number, high: number): void {
  const sum = v[a]! + low;
  v[a] = sum;
  v[a + 1] = v[a + 1]! + high + (sum > 0xffffffff ? 1 : 0);
}
function xorRotate64(v: Uint32Array, a: number, b: number, bits: number): void {
  let low = v[a]! ^ v[b]!;
  let high = v[a + 1]! ^ v[b + 1]!;
  if (bits >= 32) [low, high] = [high, low];
  const rest = bits % 32;
  v[a] = rest === 0 ? low : (low >>> rest) | (high << (32 - rest));
  v[a + 1] = rest === 0 ? high : (high >>> rest) | (low << (32 - rest));
}

export function blake2b(message: Uint8Array, key: Uint8Array, length: number): Uint8Array {
  const h = iv64.slice();
  h[0]! ^= 0x01010000 ^ (key.length << 8) ^ length;
  for (const { m, count, last } of blake2Blocks(message, key, 128)) {
    const v = new Uint32Array(32);
    v.set(h);
    v.set(iv64, 16);
    v[24]! ^= count;
    v[25]! ^= Math.floor(count / 2 ** 32);
    if (last) {
      v[28] = ~v[28]!;
      v[29] = ~v[29]!;
    }
    for (let round = 0; round < 12; round += 1) {
      const order = sigma[round % 10]!;
      for (let lane = 0; lane < 8; lane += 1) {
        const [a, b, c, d] = lanes[lane]!.map((word) => 2 * word) as [
          number,
          number,
          number,
          number,
        ];
        const x = 2 * order[2 * lane]!;
        const y = 2 * order[2 * lane + 1]!;
        add64(v, a, v[b]!, v[b + 1]!);
        add64(v, a, m[x]!, m[x + 1]!);
        xorRotate64(v, d, a, 32);
        add64(v, c, v[d]!, v[d + 1]!);
        xorRotate64(v, b, c, 24);
        add64(v, a, v[b]!, v[b + 1]!);
        add64(v, a, m[y]!, m[y + 1]!);
        xorRotate64(v, d, a, 16);
        add64(v, c, v[d]!, v[d + 1]!);
        xorRotate64(v, b, c, 63);
      }
    }
    for (let i = 0; i < 16; i += 1) h[i]! ^= v[i]! ^ v[i + 16]!;
  }
  return bytesOf(h, length);
}

function rotate32(x: number, bits: number): number {
  return (x >>> bits) | (x << (32 - bits));
}

/** The mix that BLAKE2s and BLAKE3 share. */
function mix32(v: Uint32Array, lane: number, x: number, y: number): void {
  const [a, b, c, d] = lanes[lane] as [number, number, number, number];
  v[a] = v[a]! + v[b]! + x;
  v[d] = rotate32(v[d]! ^ v[a]!, 16);
  v[c] = v[c]! + v[d]!;
  v[b] = rotate32(v[b]! ^ v[c]!, 12);
  v[a] = v[a]! + v[b]! + y;
  v[d] = rotate32(v[d]! ^ v[a]!, 8);
  v[c] = v[c]! + v[d]!;
  v[b] = rotate32(v[b]! ^ v[c]!, 7);
}

export function blake2s(message: Uint8Array, key: Uint8Array, length: number): Uint8Array {
  const h = iv32.slice();
  h[0]! ^= 0x01010000 ^ (key.length << 8) ^ length;
  for (const { m, count, last } of blake2Blocks(message, key, 64)) {
    const v = new Uint32Array(16);
    v.set(h);
    v.set(iv32, 8);
    v[12]! ^= count;
    v[13]! ^= Math.floor(count / 2 ** 32);
    if (last) v[14] = ~v[14]!;
    for (let round = 0; round < 10; round += 1) {
      const order = sigma[round]!;
      for (let lane = 0; lane < 8; lane += 1)
        mix32(v, lane, m[order[2 * lane]!]!, m[order[2 * lane + 1]!]!);
    }
    for (let i = 0; i < 8; i += 1) h[i]! ^= v[i]! ^ v[i + 8]!;
  }
  return bytesOf(h, length);
}

const chunkStart = 1;
const chunkEnd = 2;
const parent = 4;
const root = 8;
const keyedHash = 16;
const deriveContext = 32;
const deriveMaterial = 64;
const blake3Permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];

function compress3(h: Uint32Array, block: Uint8Array, counter: number, flags: number): Uint32Array {
  const padded = new Uint8Array(64);
  padded.set(block);
  let m = words(padded);
  const v = new Uint32Array(16);
  v.set(h);
  v.set(iv32.subarray(0, 4), 8);
  v[12] = counter;
  v[13] = Math.floor(counter / 2 ** 32);
  v[14] = block.length;
  v[15] = flags;
  for (let round = 0; round < 7; round += 1) {
    for (let lane = 0; lane < 8; lane += 1) mix32(v, lane, m[2 * lane]!, m[2 * lane + 1]!);
    m = Uint32Array.from(blake3Permutation, (from) => m[from]!);
  }
  return Uint32Array.from({ length: 8 }, (_, i) => v[i]! ^ v[i + 8]!);
}

/** Chaining value of the tree over `data`, whose first chunk has number `chunk`. */
function tree3(
  data: Uint8Array,
  key: Uint32Array,
  mode: number,
  chunk: number,
  rootFlag: number,
): Uint32Array {
  if (data.length <= 1024) {
    let h = key;
    const blocks = Math.max(1, Math.ceil(data.length / 64));
    for (let i = 0; i < blocks; i += 1) {
      const isLast = i === blocks - 1;
      const flags = mode | (i === 0 ? chunkStart : 0) | (isLast ? chunkEnd | rootFlag : 0);
      h = compress3(h, data.subarray(64 * i, 64 * i + 64), chunk, flags);
    }
    return h;
  }
  let left = 1024;
  while (left * 2 < data.length) left *= 2;
  const both = new Uint32Array(16);
  both.set(tree3(data.subarray(0, left), key, mode, chunk, 0));
  both.set(tree3(data.subarray(left), key, mode, chunk + left / 1024, 0), 8);
  return compress3(key, bytesOf(both, 64), 0, mode | parent | rootFlag);
}

/** The key is 32 bytes. */
export function blake3Keyed(message: Uint8Array, key: Uint8Array): Uint8Array {
  return bytesOf(tree3(message, words(key), keyedHash, 0, root), 32);
}

export function blake3DeriveKey(context: string, material: Uint8Array): Uint8Array {
  const contextKey = tree3(new TextEncoder().encode(context), iv32, deriveContext, 0, root);
  return bytesOf(tree3(material, contextKey, deriveMaterial, 0, root), 32);
}
