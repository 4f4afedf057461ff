/**
 * Small conversions between bytes and text. Everything takes views with any `byteOffset`.
 * @module
 */
import { FormatError } from "./errors.ts";

/** Two digits for each byte. */
const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let index = 0; index < bytes.length; index++) text += hexPairs[bytes[index]!]!;
  return text;
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  if (code >= 65 && code <= 70) return code - 55;
  return -1;
}

/**
 * Bytes of a hexadecimal text of even length, either case.
 * @throws {FormatError} `DM_HEX_INVALID`
 */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0)
    throw new FormatError("DM_HEX_INVALID", `hexadecimal text of odd length ${text.length}`);
  const bytes = new Uint8Array(text.length / 2);
  for (let index = 0; index < bytes.length; index++) {
    const high = hexValue(text.charCodeAt(index * 2));
    const low = hexValue(text.charCodeAt(index * 2 + 1));
    if (high < 0 || low < 0) {
      throw new FormatError("DM_HEX_INVALID", `not a hexadecimal digit near position ${index * 2}`);
    }
    bytes[index] = high * 16 + low;
  }
  return bytes;
}

/** One new array holding all parts in order. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

interface NodeBuffer {
  readonly prototype: {
    readonly copy: {
      call(source: Uint8Array, target: Uint8Array, targetStart: number): number;
    };
  };
}

const { Buffer: nodeBuffer } = globalThis as { Buffer?: NodeBuffer };

/**
 * Copies all of `source` to `target` at an offset. Where one of the two is shared memory, `set` goes byte by byte unless both
 * are aligned alike: 2 GB/s of 20 (Node 26). Node's own copy does not.
 * @throws {RangeError} when `target` is too short
 */
export function copyBytes(source: Uint8Array, target: Uint8Array, offset = 0): void {
  const isPlain = source.buffer instanceof ArrayBuffer && target.buffer instanceof ArrayBuffer;
  if (isPlain || !nodeBuffer) {
    target.set(source, offset);
    return;
  }
  if (offset + source.length > target.length)
    throw new RangeError(`${source.length} bytes do not fit at ${offset} of ${target.length}`);
  nodeBuffer.prototype.copy.call(source, target, offset);
}

/** Equality of public bytes; not constant in time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** Unsigned byte order, a prefix first: below, equal to or above 0. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Lone surrogates become U+FFFD. */
export function utf8Encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Malformed sequences become U+FFFD. */
export function utf8Decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/**
 * As {@link utf8Decode}, but malformed input is refused.
 * @throws {FormatError} `DM_UTF8_INVALID`
 */
export function utf8DecodeStrict(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (cause) {
    throw new FormatError("DM_UTF8_INVALID", "bytes are not UTF-8", {}, { cause });
  }
}

/** Standard base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let index = 0; index < bytes.length; index += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(index, index + 0x8000));
  }
  return btoa(binary);
}

/**
 * Bytes of padded standard base64.
 * @throws {FormatError} `DM_BASE64_INVALID`
 */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new FormatError("DM_BASE64_INVALID", "text is not padded base64");
  }
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/** URL-safe base64 without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/**
 * Bytes of URL-safe base64, with or without padding.
 * @throws {FormatError} `DM_BASE64_INVALID`
 */
export function fromBase64Url(text: string): Uint8Array {
  const plain = text.replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/");
  return fromBase64(plain + "=".repeat((4 - (plain.length % 4)) % 4));
}
