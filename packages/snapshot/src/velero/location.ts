/**
 * Where Velero keeps the repository of a namespace: the back-end that a backup storage location names, and the prefix in it.
 * Pure. Format: docs/format/velero.md. Proof: test/velero-location.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

/** What counts of a `BackupStorageLocation`'s spec, and of its secret. */
export interface VeleroLocation {
  /** `aws`, `azure`, `gcp`, `fs`, with or without `velero.io/`; others with `config.s3Url` are S3. */
  readonly provider: string;
  readonly config?: Readonly<Record<string, string>> | undefined;
  readonly objectStorage?:
    | {
        readonly bucket?: string | undefined;
        readonly prefix?: string | undefined;
        /** PEM in base64. */
        readonly caCert?: string | undefined;
      }
    | undefined;
}

export type VeleroBackend = "s3" | "azure" | "gcs" | "filesystem";

const backends: Readonly<Record<string, VeleroBackend>> = {
  "velero.io/aws": "s3",
  "velero.io/azure": "azure",
  "velero.io/gcp": "gcs",
  "velero.io/fs": "filesystem",
};

/**
 * @throws {FormatError} `DM_VELERO_LOCATION_INVALID`
 * @example veleroBackend({ provider: "aws" }) // "s3"
 */
export function veleroBackend({ config = {}, provider }: VeleroLocation): VeleroBackend {
  const name = provider.includes("/") ? provider : `velero.io/${provider}`;
  const backend = Object.hasOwn(backends, name) ? backends[name] : undefined;
  if (backend !== undefined) return backend;
  if (config["s3Url"]) return "s3";
  throw invalidLocation(
    `invalid storage provider ${JSON.stringify(provider)}; known are aws, azure, gcp, fs, and any other with s3Url`,
  );
}

/**
 * The prefix of a namespace's repository; it ends in a slash.
 * @example veleroPrefix({ provider: "aws", objectStorage: { prefix: "velero" } }, "shop") // "velero/kopia/shop/"
 */
export function veleroPrefix(location: VeleroLocation, namespace: string): string {
  return veleroFolder(location, ["kopia", namespace]);
}

/**
 * The prefix of what else lies in the bucket, such as the files of a backup; it ends in a slash.
 * @example veleroFolder({ provider: "aws" }, ["backups", "nightly"]) // "backups/nightly/"
 */
export function veleroFolder(location: VeleroLocation, folder: readonly string[]): string {
  const { config = {}, objectStorage } = location;
  const given = objectStorage ? objectStorage.prefix : config["prefix"];
  const parts = [...(given ?? "").split("/"), ...folder];
  const clean: string[] = [];
  for (const part of parts) {
    if (part === "" || part === ".") continue;
    if (part === "..") clean.pop();
    else clean.push(part);
  }
  return `${clean.join("/")}/`;
}

/** @throws {FormatError} `DM_VELERO_LOCATION_INVALID` */
export function veleroBucket({ config = {}, objectStorage }: VeleroLocation): string {
  const bucket = (objectStorage ? objectStorage.bucket : config["bucket"]) ?? "";
  if (bucket === "") throw invalidLocation("the backup storage location names no bucket");
  return bucket;
}

/** Where the S3 server is, as Kopia's options have it. */
export interface VeleroS3Endpoint {
  /** `host[:port]` */
  readonly endpoint: string;
  readonly tls: boolean;
  readonly verifyTls: boolean;
  readonly region: string | undefined;
}

/** @throws {FormatError} `DM_VELERO_LOCATION_INVALID` */
export function veleroS3Endpoint({ config = {} }: VeleroLocation): VeleroS3Endpoint {
  const region = config["region"] || undefined;
  const verifyTls = !isTrue(config["insecureSkipTLSVerify"]);
  const text = config["s3Url"];
  if (!text) {
    const endpoint = region === undefined ? "s3.amazonaws.com" : `s3-${region}.amazonaws.com`;
    return { endpoint, tls: true, verifyTls, region };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "")
    throw invalidLocation(`s3Url is no URL of http or https without a user`);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw invalidLocation(`path is not expected in s3Url ${url.origin}${url.pathname}`);
  return { endpoint: url.host, tls: url.protocol === "https:", verifyTls, region };
}

/** As Go's `strconv.ParseBool` has it. */
export function isTrue(text: string | undefined): boolean {
  return text !== undefined && ["1", "t", "T", "true", "TRUE", "True"].includes(text);
}

export function invalidLocation(reason: string): FormatError {
  return new FormatError("DM_VELERO_LOCATION_INVALID", reason);
}
