// No nonce is handed out twice, however the pool is refilled, and none is left to chance when one is given.
import { toHex } from "@dm/core";
import { describe, expect, it } from "vitest";
import { createEncryption, describeEncryption } from "../src/index.ts";
import { noncePool } from "../src/nonce-pool.ts";

/** Every 12 bytes of its stream are another number, and it notes how often it was asked. */
function countingBytes(): { next: (length: number) => Uint8Array; calls: number[] } {
  let count = 0;
  const calls: number[] = [];
  const next = (length: number): Uint8Array => {
    calls.push(length);
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + 12 <= length; at += 12) view.setUint32(at, count++);
    return bytes;
  };
  return { next, calls };
}

it("gives each slice of its random bytes once, in order, over several refills", () => {
  const source = countingBytes();
  const nextNonce = noncePool(source.next);
  const wanted = 16 + 2 * 4096 + 5;
  for (let number = 0; number < wanted; number++) {
    const nonce = nextNonce();
    expect(nonce.length).toBe(12);
    const value = new DataView(nonce.buffer, nonce.byteOffset).getUint32(0);
    if (value !== number) expect.fail(`nonce ${number} is ${value}`);
  }
  // A short-lived instance asks for little, a busy one seldom.
  expect(source.calls).toEqual([12 * 16, 12 * 4096, 12 * 4096, 12 * 4096]);
});

it("never repeats with the system's randomness", () => {
  const encryption = createEncryption("AES256-GCM-HMAC-SHA256", new Uint8Array(32));
  const iv = new Uint8Array(16);
  const empty = new Uint8Array(0);
  const seen = new Set<string>();
  for (let count = 0; count < 10_000; count++)
    seen.add(toHex(encryption.encrypt(empty, iv).subarray(0, 12)));
  expect(seen.size).toBe(10_000);
});

it("is not shared between instances of one key", () => {
  const source = countingBytes();
  const nonces = [1, 2].flatMap(() => {
    const encryption = createEncryption("CHACHA20-POLY1305-HMAC-SHA256", new Uint8Array(32), {
      randomBytes: source.next,
    });
    const items = [1, 2, 3].map(() => ({ plaintext: new Uint8Array(1), iv: new Uint8Array(16) }));
    return encryption.encryptMany(items).map((stored) => toHex(stored.subarray(0, 12)));
  });
  expect(new Set(nonces).size).toBe(6);
});

describe.each(describeEncryption())("$algorithm", ({ algorithm }) => {
  const iv = new Uint8Array(16);
  const data = Uint8Array.of(1, 2, 3);

  it("draws nothing when a nonce is given", () => {
    const source = countingBytes();
    const encryption = createEncryption(algorithm, new Uint8Array(32), {
      randomBytes: source.next,
    });
    const nonce = new Uint8Array(12).fill(5);
    expect(toHex(encryption.encrypt(data, iv, { nonce }).subarray(0, 12))).toBe(toHex(nonce));
    expect(source.calls).toEqual([]);
    encryption.encrypt(data, iv);
    expect(source.calls).toHaveLength(1);
  });

  it("writes the same content differently each time", () => {
    const encryption = createEncryption(algorithm, new Uint8Array(32));
    expect(toHex(encryption.encrypt(data, iv))).not.toBe(toHex(encryption.encrypt(data, iv)));
  });

  it("refuses a nonce of another length, also from a source that gives too little", () => {
    const encryption = createEncryption(algorithm, new Uint8Array(32));
    for (const length of [0, 11, 13, 24]) {
      const nonce = new Uint8Array(length);
      expect(() => encryption.encrypt(data, iv, { nonce })).toThrow(RangeError);
    }
    const poor = createEncryption(algorithm, new Uint8Array(32), {
      randomBytes: () => new Uint8Array(7),
    });
    expect(() => poor.encrypt(data, iv)).toThrow(RangeError);
  });
});
