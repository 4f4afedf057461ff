/**
 * Names on their way through URLs: percent coding as signatures demand it, request targets, and the byte order of UTF-8 in
 * which S3 lists keys.
 * Proof: test/testing-s3-formats.test.ts.
 * @module
 */
import { refuse } from "./refusal.ts";

/** Everything but letters, digits, `-._~` as `%XX`, upper case; a slash stays where `keepSlash` is set. */
export function percentEncode(text: string, keepSlash = false): string {
  const encoded = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return keepSlash ? encoded.replaceAll("%2F", "/") : encoded;
}

/** The form in which lists give keys under `encoding-type=url`: as above, with `+` for a space, as Amazon writes it. */
export function listEncode(text: string): string {
  return percentEncode(text, true).replaceAll("%20", "+");
}

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refuse("InvalidURI");
  }
}

/** Where a request goes; all parts decoded. */
export interface Target {
  /** The whole path, with its slash. */
  readonly path: string;
  /** Empty for the service itself. */
  readonly bucket: string;
  /** Empty for the bucket itself. */
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
}

const maxTargetLength = 16_384;

/**
 * Reads the target of a request line. Nothing is normalized: `..` and empty segments are parts of keys like any other. The
 * bucket comes from the path, or from a host such as `bucket.localhost`.
 */
export function parseTarget(target: string, host: string): Target {
  if (target.length > maxTargetLength || !target.startsWith("/")) throw refuse("InvalidURI");
  const mark = target.indexOf("?");
  const path = percentDecode(mark < 0 ? target : target.slice(0, mark));
  const query = new Map<string, string>();
  for (const part of mark < 0 ? [] : target.slice(mark + 1).split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = queryDecode(equals < 0 ? part : part.slice(0, equals));
    if (query.has(name)) throw refuse("InvalidArgument", `${name} is given twice.`);
    query.set(name, equals < 0 ? "" : queryDecode(part.slice(equals + 1)));
  }
  const [, virtual] = /^([a-z0-9][a-z0-9.-]*)\.localhost(?::\d+)?$/.exec(host) ?? [];
  if (virtual !== undefined) return { path, bucket: virtual, key: path.slice(1), query };
  const slash = path.indexOf("/", 1);
  const bucket = slash < 0 ? path.slice(1) : path.slice(1, slash);
  return { path, bucket, key: slash < 0 ? "" : path.slice(slash + 1), query };
}

const queryDecode = (text: string): string => percentDecode(text.replaceAll("+", " "));

/** Compares as the UTF-8 bytes would: surrogates, which stand for the highest code points, come after U+FFFF. */
export function compareUtf8(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
