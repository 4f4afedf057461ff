/**
 * Opens what a backup storage location names as a blob store. A back-end's code is loaded when it is needed, so that a data
 * mover carries one of them in memory.
 * Format: docs/format/velero.md. Proof: test/velero-store.test.ts.
 * @module
 */
import {
  type Clock,
  fromBase64,
  isDmError,
  type Logger,
  NotFoundError,
  StorageError,
  utf8Decode,
} from "@dm/core";
import type { BlobStore, CallOptions } from "@dm/storage";
import type { ObjectBlobStore } from "@dm/storage/s3";
import {
  invalidLocation,
  isTrue,
  type VeleroLocation,
  veleroBackend,
  veleroBucket,
  veleroFolder,
  veleroS3Endpoint,
} from "./location.ts";

/** Who asks, with which secret, and how long it is tried. */
export interface OpenVeleroStoreOptions {
  /**
   * The content of the location's credential file; asked for again when a server refuses what it said. Without it the back-end
   * looks where it usually does: environment, identity of the pod, files.
   */
  readonly credentials?: (() => Promise<string>) | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Refuses every change. Off by default. */
  readonly readOnly?: boolean | undefined;
  /** Makes the directory of a filesystem store; off by default. */
  readonly create?: boolean | undefined;
  /** Calls in all of a request that fails in a way that may pass; 10 by default, about a minute. */
  readonly attempts?: number | undefined;
  /** Longest silence of a server; 60,000 by default. */
  readonly timeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * The store of a namespace's repository; no request is made before the first call.
 * @throws {FormatError} `DM_VELERO_LOCATION_INVALID`
 * @example
 * const store = await openVeleroStore({ provider: "fs", config: { fspath: "/backup" } }, "shop");
 */
export async function openVeleroStore(
  location: VeleroLocation,
  namespace: string,
  options: OpenVeleroStoreOptions = {},
): Promise<BlobStore> {
  return openVeleroFolder(location, ["kopia", namespace], options);
}

/**
 * The store of what else lies in the bucket: the files in one folder, such as those of a backup. On S3, Azure and Google a blob's
 * id is the name of the object below the prefix.
 * @throws {FormatError} `DM_VELERO_LOCATION_INVALID`
 * @example const store = await openVeleroFolder(location, ["backups", "nightly"]);
 */
export async function openVeleroFolder(
  location: VeleroLocation,
  folder: readonly string[],
  options: OpenVeleroStoreOptions = {},
): Promise<BlobStore> {
  const prefix = veleroFolder(location, folder);
  const open = { s3, azure, gcs, filesystem }[veleroBackend(location)];
  const store = await open(location, prefix, options);
  if (!options.readOnly || store.readOnly) return store;
  const { readOnly } = await import("@dm/storage");
  return readOnly(store);
}

/**
 * Asks whether a location can be used: its server answers, lets these credentials in, and has the bucket. Costs one request, and
 * looks at one page of names at most.
 * @throws what the store throws, and {FormatError} `DM_VELERO_LOCATION_INVALID`
 */
export async function checkVeleroLocation(
  location: VeleroLocation,
  options: OpenVeleroStoreOptions & CallOptions = {},
): Promise<void> {
  const { signal } = options;
  const backend = veleroBackend(location);
  // Of a directory the root must be there: what lies in it is made when it is needed.
  const prefix = backend === "filesystem" ? "" : veleroFolder(location, ["kopia"]);
  const open = { s3, azure, gcs, filesystem }[backend];
  const store = await open(location, prefix, { ...options, create: false });
  try {
    for await (const _ of store.list("", { signal })) return;
  } finally {
    await store.close();
  }
}

/**
 * A URL under which anybody can read a file of the bucket for a time, at the location's `publicUrl` where it has one.
 * @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED` for a directory, and for credentials that cannot sign
 * @throws {FormatError} `DM_VELERO_LOCATION_INVALID`
 * @example await signVeleroUrl(location, ["backups", "nightly", "nightly-logs.gz"], { lifetimeMs: 600_000, credentials });
 */
export async function signVeleroUrl(
  location: VeleroLocation,
  path: readonly [string, string, string],
  options: OpenVeleroStoreOptions & CallOptions & { readonly lifetimeMs: number },
): Promise<string> {
  const { lifetimeMs, signal } = options;
  const [top, name, file] = path;
  const backend = veleroBackend(location);
  if (backend === "filesystem") {
    const { optionUnsupported } = await import("@dm/storage");
    throw optionUnsupported("filesystem", "signed URLs");
  }
  const open = { s3, azure, gcs }[backend];
  const store = await open(location, veleroFolder(location, [top, name]), {
    ...options,
    readOnly: true,
  });
  try {
    return await store.signedUrl(file, { lifetimeMs, signal });
  } finally {
    await store.close();
  }
}

/** A bucket, or a Velero of one's own, may have many backups; with more than this something else is wrong. */
const maxFolders = 100_000;

/**
 * Names of what lies in a folder of the bucket and is a folder itself: `["backups"]` gives the names of backups, `[]` what there is
 * beside them. Costs a request for each thousand. A folder that is not there has none; a bucket that is not there is an error.
 * @throws {FormatError} `DM_VELERO_LOCATION_INVALID`, also when there are more than 100,000
 * @example const names = await listVeleroFolders(location, ["backups"]);
 */
export async function listVeleroFolders(
  location: VeleroLocation,
  folder: readonly string[],
  options: OpenVeleroStoreOptions & CallOptions = {},
): Promise<string[]> {
  const { signal } = options;
  const prefix = veleroFolder(location, folder);
  const backend = veleroBackend(location);
  const names: string[] = [];
  const note = (name: string): void => {
    if (names.length >= maxFolders) throw invalidLocation(`${prefix} holds too many folders`);
    names.push(name);
  };
  if (backend === "filesystem") {
    for (const name of await directoriesIn(rootOf(location), prefix)) note(name);
    return names;
  }
  const open = { s3, azure, gcs }[backend];
  // A prefix that is nothing but a slash would name keys that begin with one.
  const store = await open(location, prefix === "/" ? "" : prefix, { ...options, readOnly: true });
  try {
    for await (const name of store.folders({ signal })) note(name);
  } finally {
    await store.close();
  }
  return names.sort();
}

/**
 * Removes a folder that has no files any more: its directory, where folders are directories. One with files is left alone.
 * @example await removeVeleroFolder(location, ["backups", "nightly"]);
 */
export async function removeVeleroFolder(
  location: VeleroLocation,
  folder: readonly [string, string],
  options: CallOptions = {},
): Promise<void> {
  if (veleroBackend(location) !== "filesystem") return;
  const prefix = veleroFolder(location, folder);
  if (!prefix.endsWith(`${folder.join("/")}/`))
    throw new RangeError(`not a folder below the location's: ${folder.join("/")}`);
  const store = await filesystem(location, prefix, {});
  try {
    for await (const _ of store.list("", options)) return;
  } catch (error) {
    if (isDmError(error, "DM_STORE_NOT_FOUND")) return;
    throw error;
  } finally {
    await store.close();
  }
  const { rm } = await import("node:fs/promises");
  const { join } = await import("node:path");
  await rm(join(rootOf(location), prefix), { recursive: true, force: true });
}

async function directoriesIn(root: string, prefix: string): Promise<string[]> {
  const { readdir, stat } = await import("node:fs/promises");
  const { join } = await import("node:path");
  try {
    const entries = await readdir(join(root, prefix), { withFileTypes: true });
    return (
      entries
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        // Of the file system, not of whoever uses it.
        .filter((name) => !name.startsWith(".") && name !== "lost+found")
        .sort()
    );
  } catch (cause) {
    const { code } = cause as { readonly code?: string };
    if (code === "ENOENT" && (await stat(root).catch(() => undefined))?.isDirectory()) return [];
    if (code === "ENOENT") {
      const text = `cannot access storage path ${root}: there is no such directory`;
      throw new NotFoundError("DM_STORE_NOT_FOUND", text, { path: root }, { cause });
    }
    const text = `cannot access storage path ${root} (${code})`;
    throw new StorageError("DM_STORE_FAILED", text, { path: root, code }, { cause });
  }
}

type Open<Store extends BlobStore = ObjectBlobStore> = (
  location: VeleroLocation,
  prefix: string,
  options: OpenVeleroStoreOptions,
) => Promise<Store>;

function common({ attempts, clock, logger, readOnly, timeoutMs }: OpenVeleroStoreOptions) {
  return { readOnly, timeoutMs, clock, retries: { attempts, clock, logger } };
}

/** The name under which the text of the credentials is "read". */
const credentialsName = "credentials of the backup storage location";

const s3: Open = async (location, prefix, options) => {
  const { config = {}, objectStorage } = location;
  const { credentials, environment } = options;
  const { defaultCredentials, fileCredentials, s3Store } = await import("@dm/storage/s3");
  const { readFile } = await import("node:fs/promises");
  const readText = async (path: string): Promise<string> =>
    credentials && path === credentialsName ? credentials() : readFile(path, "utf8");
  const profile = config["profile"] || undefined;
  return s3Store({
    ...common(options),
    ...veleroS3Endpoint(location),
    bucket: veleroBucket(location),
    prefix,
    rootCa: rootCaOf(objectStorage?.caCert),
    publicEndpoint: publicEndpointOf(config["publicUrl"]),
    // The two creators of one repository must not both win. A server that ignores the condition is as one without it.
    conditionalPuts: true,
    credentials: credentials
      ? fileCredentials({
          path: credentialsName,
          profile: profile ?? "default",
          readText,
          environment,
        })
      : defaultCredentials({ environment: withProfile(environment ?? process.env, profile) }),
  });
};

function publicEndpointOf(text: string | undefined): string | undefined {
  if (!text) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username === "" && url.pathname === "/")
    return url.origin;
  throw invalidLocation("publicUrl is no URL of http or https without a user and a path");
}

function withProfile(
  environment: Readonly<Record<string, string | undefined>>,
  profile: string | undefined,
): Readonly<Record<string, string | undefined>> {
  return profile === undefined ? environment : { ...environment, AWS_PROFILE: profile };
}

function rootCaOf(base64: string | undefined): string | undefined {
  if (!base64) return undefined;
  let pem = "";
  try {
    pem = utf8Decode(fromBase64(base64));
  } catch {
    // Answered below.
  }
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw invalidLocation("caCert is no certificate in PEM, in base64");
}

const gcs: Open = async (location, prefix, options) => {
  const { gcsDefaultCredentials, gcsFileCredentials, gcsStore } = await import("@dm/storage/gcs");
  const { credentials, environment = process.env } = options;
  const file = environment["GOOGLE_APPLICATION_CREDENTIALS"];
  const provider = credentials
    ? gcsFileCredentials(credentialsName, { readText: credentials })
    : file
      ? gcsFileCredentials(file)
      : gcsDefaultCredentials();
  return gcsStore({
    ...common(options),
    bucket: veleroBucket(location),
    prefix,
    credentials: provider,
  });
};

/**
 * Velero's Azure secret is a list of variables. The account's key is in the one that `storageAccountKeyEnvVar` names;
 * with `useAAD`, or without a key, the client of the secret or the pod's identity counts.
 */
const azure: Open = async (location, prefix, options) => {
  const { config = {} } = location;
  const { azureStore, azureStoreOptions } = await import("@dm/storage/azure");
  const given = parseVariables((await options.credentials?.()) ?? "");
  const environment = { ...(options.environment ?? process.env), ...given };
  const keyName = config["storageAccountKeyEnvVar"] || "AZURE_STORAGE_ACCOUNT_ACCESS_KEY";
  const connection = {
    container: veleroBucket(location),
    prefix,
    storageAccount: config["storageAccount"] ?? "",
    storageKey: isTrue(config["useAAD"]) ? undefined : environment[keyName],
    TenantID: environment["AZURE_TENANT_ID"],
    ClientID: environment["AZURE_CLIENT_ID"],
    ClientSecret: environment["AZURE_CLIENT_SECRET"],
  };
  const endpoint = config["storageAccountURI"] || undefined;
  const opened = azureStoreOptions(connection, { environment });
  return azureStore({ ...common(options), ...opened, ...(endpoint && { endpoint }) });
};

/** `NAME=value` by line; quotes around a value go. */
function parseVariables(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, value = ""] =
      /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) variables[name] = value.replace(/^(["'])(.*)\1$/, "$2");
  }
  return variables;
}

function rootOf({ config = {} }: VeleroLocation): string {
  const root = config["fspath"] ?? "";
  if (!root.startsWith("/")) throw invalidLocation("fspath must be an absolute path");
  return root;
}

const filesystem: Open<BlobStore> = async (location, prefix, options) => {
  const root = rootOf(location);
  const { join } = await import("node:path");
  const { filesystemStore } = await import("@dm/storage/filesystem");
  const { create, logger } = options;
  return filesystemStore({
    path: join(root, prefix),
    fileMode: 0o600,
    dirMode: 0o700,
    create,
    logger,
  });
};
