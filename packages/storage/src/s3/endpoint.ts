/**
 * Where a bucket is: host, region, and whether its name stands in the host or in the path.
 * Proof: test/s3-endpoint.test.ts.
 * @module
 */

export interface EndpointOptions {
  /** `host`, `host:port`, or a URL, whose scheme then decides about TLS. */
  readonly endpoint: string;
  readonly bucket: string;
  /** true by default. */
  readonly tls?: boolean | undefined;
  /** By default where the endpoint asks for it: everywhere but at AWS, Google and Aliyun. */
  readonly pathStyle?: boolean | undefined;
  /** By default from the endpoint's name, else `us-east-1` until the server names another. */
  readonly region?: string | undefined;
}

/** An address that knows how to spell URLs. */
export interface BucketAddress {
  /** `https://host:port`, without the bucket. */
  readonly origin: string;
  readonly region: string;
  readonly tls: boolean;
  /** URL of the bucket; keys are appended, encoded. Ends in a slash. */
  readonly bucketUrl: string;
  /** The same bucket at the place where the server says that it is. */
  inRegion(region: string): BucketAddress;
}

const amazonHost = /^s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?$/;
const virtualHosts = [amazonHost, /^storage\.googleapis\.com$/, /(?:^|\.)aliyuncs\.com$/];
const dnsBucket = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;
const dottedBucket = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Hosts that carry their region in their name. */
const regionInHost = [
  /^s3[.-](?:dualstack\.|fips\.|fips-)?([a-z]{2}(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?$/,
  /^s3\.([a-z0-9-]+)\.(?:backblazeb2|wasabisys|scw|ovh|digitaloceanspaces)\.[a-z]+$/,
];

/**
 * @throws {TypeError} for an endpoint that is none, or an empty bucket
 * @example bucketAddress({ endpoint: "127.0.0.1:9000", tls: false, bucket: "backup" }).bucketUrl
 */
export function bucketAddress(options: EndpointOptions): BucketAddress {
  const { bucket } = options;
  if (bucket === "" || /[/?#\s]/.test(bucket)) {
    throw new TypeError(`not the name of a bucket: ${JSON.stringify(bucket)}`);
  }
  const given = /^https?:\/\//i.exec(options.endpoint)?.[0].toLowerCase();
  const tls = given ? given === "https://" : (options.tls ?? true);
  const text = given ? options.endpoint : `${tls ? "https" : "http"}://${options.endpoint}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`not an endpoint: ${JSON.stringify(options.endpoint)}`);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new TypeError("an endpoint is a host and perhaps a port, without path and user");
  }
  const region = options.region || hostRegion(url.hostname);
  return address(url, bucket, region || "us-east-1", options.pathStyle);
}

function address(
  url: URL,
  bucket: string,
  region: string,
  pathStyle: boolean | undefined,
): BucketAddress {
  const tls = url.protocol === "https:";
  // A dot in the name has no place in a certificate for *.s3.amazonaws.com.
  const fits = (tls ? dnsBucket : dottedBucket).test(bucket);
  const virtual = fits && virtualHosts.some((pattern) => pattern.test(url.hostname));
  const bucketUrl =
    (pathStyle ?? !virtual)
      ? `${url.origin}/${encodeURIComponent(bucket)}/`
      : `${url.protocol}//${bucket}.${url.host}/`;
  return {
    origin: url.origin,
    region,
    tls,
    bucketUrl,
    inRegion: (other) => address(hostInRegion(url, other), bucket, other, pathStyle),
  };
}

function hostRegion(host: string): string | undefined {
  if (host.endsWith(".r2.cloudflarestorage.com")) return "auto";
  for (const pattern of regionInHost) {
    const found = pattern.exec(host)?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** AWS has a host for each region; everybody else answers at one. */
function hostInRegion(url: URL, region: string): URL {
  if (!amazonHost.test(url.hostname)) return url;
  const moved = new URL(url);
  const suffix = region.startsWith("cn-") ? ".cn" : "";
  moved.hostname = `s3.${region}.amazonaws.com${suffix}`;
  return moved;
}
