/**
 * Lists: in byte order of UTF-8, by prefix, rolled up at a delimiter, page by page. The walk is pure; what is behind a page
 * is found by binary search from the last name that it gave, so that changes between two pages confuse nothing.
 * Proof: test/testing-s3-list.test.ts.
 * @module
 */
import { type Bucket, firstNotBefore, type ObjectVersion } from "./buckets.ts";
import { isoTime } from "./object-lock.ts";
import { refuse } from "./refusal.ts";
import { bucketOf, type S3Handler, type S3Request, type S3State } from "./request.ts";
import { compareUtf8, listEncode } from "./uri.ts";
import { tag, type Xml, xmlDocument } from "./xml.ts";

export interface Walk {
  readonly prefix: string;
  /** Empty: no roll-up. */
  readonly delimiter: string;
  /** Only what comes behind this name. */
  readonly after?: string | undefined;
  /** Also skips the keys that begin with `after`, a common prefix that an earlier page gave. */
  readonly afterPrefix?: boolean | undefined;
  /** Keys that are listed; all by default. */
  readonly isVisible?: ((key: string) => boolean) | undefined;
}

export type Walked = { readonly key: string } | { readonly commonPrefix: string };

/** Walks over sorted keys and gives keys and common prefixes in order. */
export function* walkKeys(keys: readonly string[], walk: Walk): Generator<Walked> {
  const { after = "", afterPrefix = false, delimiter, isVisible = () => true, prefix } = walk;
  let index = firstNotBefore(keys, prefix);
  if (after !== "") {
    index = Math.max(index, firstNotBefore(keys, after));
    if (afterPrefix) index = behindPrefix(keys, after, index);
    else if (keys[index] === after) index += 1;
  }
  for (;;) {
    const key = keys[index];
    if (key === undefined || !key.startsWith(prefix)) return;
    if (!isVisible(key)) {
      index += 1;
      continue;
    }
    const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut < 0) {
      yield { key };
      index += 1;
      continue;
    }
    const commonPrefix = key.slice(0, cut + delimiter.length);
    yield { commonPrefix };
    index = behindPrefix(keys, commonPrefix, index);
  }
}

/** Index of the first key from `from` that does not begin with the prefix; those that do stand together. */
function behindPrefix(keys: readonly string[], prefix: string, from: number): number {
  let low = from;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string).startsWith(prefix)) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface ListParameters {
  readonly prefix: string;
  readonly delimiter: string;
  readonly maxKeys: number;
  /** Encodes names where the client asks for it. */
  readonly encode: (name: string) => string;
  readonly encoded: boolean;
}

const maxPage = 1000;

function parameters({ query }: S3Request): ListParameters {
  const encoding = query.get("encoding-type");
  if (encoding !== undefined && encoding !== "url")
    throw refuse("InvalidArgument", "Invalid Encoding Method specified in Request");
  const text = query.get("max-keys") ?? query.get("max-uploads") ?? String(maxPage);
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0x7fffffff)
    throw refuse("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647");
  return {
    prefix: query.get("prefix") ?? "",
    delimiter: query.get("delimiter") ?? "",
    maxKeys: Math.min(Number(text), maxPage),
    encode: encoding === "url" ? listEncode : (name) => name,
    encoded: encoding === "url",
  };
}

const owner = (): Xml => tag("Owner", tag("ID", "test"), tag("DisplayName", "test"));

function entry(version: ObjectVersion, encode: (name: string) => string, withOwner: boolean): Xml {
  return tag(
    "Contents",
    tag("Key", encode(version.key)),
    tag("LastModified", isoTime(version.modifiedMs)),
    tag("ETag", `"${version.etag}"`),
    version.checksum && tag("ChecksumAlgorithm", version.checksum.algorithm),
    version.checksum && tag("ChecksumType", version.checksum.type),
    tag("Size", version.length),
    withOwner ? owner() : undefined,
    tag("StorageClass", version.storageClass),
  );
}

/** What a list shows: the bucket as it is, or as it was a while ago. */
function seen(
  bucket: Bucket,
  staleMs: number,
  nowMs: number,
): {
  readonly keys: readonly string[];
  readonly current: (key: string) => ObjectVersion | undefined;
} {
  if (staleMs === 0) return { keys: bucket.keys, current: (key) => bucket.current(key) };
  const changed = bucket.changedSince(nowMs - staleMs);
  return {
    keys: [...new Set([...bucket.keys, ...changed.keys()])].sort(compareUtf8),
    current: (key) => (changed.has(key) ? changed.get(key) : bucket.current(key)),
  };
}

/** A page of a walk, and where it ends. */
function page(
  request: S3Request,
  state: S3State,
  from: { readonly after: string; readonly afterPrefix: boolean },
  { delimiter, maxKeys, prefix }: ListParameters,
): { readonly versions: ObjectVersion[]; readonly prefixes: string[]; readonly next?: string } {
  const bucket = bucketOf(request, state);
  const { current, keys } = seen(bucket, state.staleMs(request), request.nowMs);
  const isVisible = (key: string): boolean => current(key) !== undefined;
  const versions: ObjectVersion[] = [];
  const prefixes: string[] = [];
  let last = "";
  if (maxKeys === 0) return { versions, prefixes };
  for (const walked of walkKeys(keys, { prefix, delimiter, isVisible, ...from })) {
    if (versions.length + prefixes.length === maxKeys) return { versions, prefixes, next: last };
    if ("key" in walked) {
      versions.push(current(walked.key) as ObjectVersion);
      last = walked.key;
    } else {
      prefixes.push(walked.commonPrefix);
      last = walked.commonPrefix;
    }
  }
  return { versions, prefixes };
}

const commonPrefixes = (names: readonly string[], encode: (name: string) => string): Xml[] =>
  names.map((name) => tag("CommonPrefixes", tag("Prefix", encode(name))));

const optional = (name: string, value: string | undefined): Xml | undefined =>
  value === undefined || value === "" ? undefined : tag(name, value);

/** Whether a name with which a page ended is a common prefix under this delimiter. */
const isCommonPrefix = (name: string, { delimiter, prefix }: ListParameters): boolean =>
  delimiter !== "" && name.length > prefix.length && name.endsWith(delimiter);

export const listObjects: S3Handler = async (request, state) => {
  const asked = parameters(request);
  const marker = request.query.get("marker") ?? "";
  const from = { after: marker, afterPrefix: isCommonPrefix(marker, asked) };
  const { next, prefixes, versions } = page(request, state, from, asked);
  const { delimiter, encode, encoded, maxKeys, prefix } = asked;
  const body = xmlDocument(
    "ListBucketResult",
    tag("Name", request.bucketName),
    tag("Prefix", encode(prefix)),
    tag("Marker", encode(marker)),
    tag("MaxKeys", maxKeys),
    optional("Delimiter", encode(delimiter)),
    encoded ? tag("EncodingType", "url") : undefined,
    tag("IsTruncated", next !== undefined),
    // Without a delimiter the last key is where to go on, and S3 does not say it twice.
    delimiter === "" ? undefined : optional("NextMarker", next && encode(next)),
    ...versions.map((version) => entry(version, encode, true)),
    ...commonPrefixes(prefixes, encode),
  );
  return { status: 200, body };
};

const tokenOf = (last: string): string => Buffer.from(`1${last}`).toString("base64url");

function afterToken(token: string): string {
  const text = Buffer.from(token, "base64url").toString();
  if (!text.startsWith("1") || tokenOf(text.slice(1)) !== token)
    throw refuse("InvalidArgument", "The continuation token provided is incorrect");
  return text.slice(1);
}

export const listObjectsV2: S3Handler = async (request, state) => {
  const asked = parameters(request);
  const token = request.query.get("continuation-token");
  const startAfter = request.query.get("start-after") ?? "";
  const after = token === undefined ? startAfter : afterToken(token);
  const from = { after, afterPrefix: token !== undefined && isCommonPrefix(after, asked) };
  const { next, prefixes, versions } = page(request, state, from, asked);
  const { delimiter, encode, encoded, maxKeys, prefix } = asked;
  const withOwner = request.query.get("fetch-owner") === "true";
  const body = xmlDocument(
    "ListBucketResult",
    tag("Name", request.bucketName),
    tag("Prefix", encode(prefix)),
    optional("StartAfter", encode(startAfter)),
    optional("ContinuationToken", token),
    optional("NextContinuationToken", next === undefined ? undefined : tokenOf(next)),
    tag("KeyCount", versions.length + prefixes.length),
    tag("MaxKeys", maxKeys),
    optional("Delimiter", encode(delimiter)),
    encoded ? tag("EncodingType", "url") : undefined,
    tag("IsTruncated", next !== undefined),
    ...versions.map((version) => entry(version, encode, withOwner)),
    ...commonPrefixes(prefixes, encode),
  );
  return { status: 200, body };
};

function versionEntry(
  version: ObjectVersion,
  isLatest: boolean,
  encode: (name: string) => string,
): Xml {
  const common = [
    tag("Key", encode(version.key)),
    tag("VersionId", version.versionId),
    tag("IsLatest", isLatest),
    tag("LastModified", isoTime(version.modifiedMs)),
  ];
  if (version.deleteMarker) return tag("DeleteMarker", ...common, owner());
  return tag(
    "Version",
    ...common,
    tag("ETag", `"${version.etag}"`),
    tag("Size", version.length),
    owner(),
    tag("StorageClass", version.storageClass),
  );
}

export const listObjectVersions: S3Handler = async (request, state) => {
  const asked = parameters(request);
  const { delimiter, encode, encoded, maxKeys, prefix } = asked;
  const keyMarker = request.query.get("key-marker") ?? "";
  const idMarker = request.query.get("version-id-marker") ?? "";
  if (idMarker !== "" && keyMarker === "") {
    throw refuse(
      "InvalidArgument",
      "A version-id marker cannot be specified without a key marker.",
    );
  }
  const bucket = bucketOf(request, state);
  const entries: Xml[] = [];
  const prefixes: string[] = [];
  let last: { readonly key: string; readonly id?: string } | undefined;
  let truncated = false;
  const isFull = (): boolean => {
    truncated = entries.length + prefixes.length >= maxKeys;
    return truncated;
  };
  const addVersions = (key: string, afterId?: string): boolean => {
    const versions = bucket.versions(key);
    const begin =
      afterId === undefined ? 0 : versions.findIndex(({ versionId }) => versionId === afterId) + 1;
    // An id that is gone would start the key again: better to leave out what stands beside it.
    if (afterId !== undefined && begin === 0) return true;
    for (let index = begin; index < versions.length; index++) {
      if (isFull()) return false;
      const version = versions[index] as ObjectVersion;
      entries.push(versionEntry(version, index === 0, encode));
      last = { key, id: version.versionId };
    }
    return true;
  };
  if (maxKeys > 0 && (idMarker === "" || addVersions(keyMarker, idMarker))) {
    const from = { after: keyMarker, afterPrefix: isCommonPrefix(keyMarker, asked) };
    for (const walked of walkKeys(bucket.keys, { prefix, delimiter, ...from })) {
      if ("key" in walked) {
        if (!addVersions(walked.key)) break;
      } else {
        if (isFull()) break;
        prefixes.push(walked.commonPrefix);
        last = { key: walked.commonPrefix };
      }
    }
  }
  const body = xmlDocument(
    "ListVersionsResult",
    tag("Name", request.bucketName),
    tag("Prefix", encode(prefix)),
    tag("KeyMarker", encode(keyMarker)),
    tag("VersionIdMarker", idMarker),
    truncated ? optional("NextKeyMarker", last && encode(last.key)) : undefined,
    truncated ? optional("NextVersionIdMarker", last?.id) : undefined,
    tag("MaxKeys", maxKeys),
    optional("Delimiter", encode(delimiter)),
    encoded ? tag("EncodingType", "url") : undefined,
    tag("IsTruncated", truncated),
    ...entries,
    ...commonPrefixes(prefixes, encode),
  );
  return { status: 200, body };
};
