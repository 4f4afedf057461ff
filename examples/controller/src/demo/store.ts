/**
 * Where the repository of the demo lies, as a BackupStorageLocation and the Secret with its credentials.
 * Proof: test/store.test.ts.
 * @module
 */
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { BackupStorageLocation, Secret } from "@dm/crds";
import { openVeleroStore } from "@dm/snapshot/velero";
import { type S3Server, startS3Server } from "@dm/storage/testing/s3";
import { runLabel } from "./stage.ts";

export interface DemoStore {
  readonly description: string;
  readonly location: BackupStorageLocation;
  readonly secret?: Secret;
  /** Flags of `kopia repository connect` and `dm repository connect` for the repository of a namespace. */
  readonly connectFlags: (namespace: string) => string;
  /** What these clients need in their environment beside the password, in words of a shell. */
  readonly environment: readonly string[];
  /** Of this process, if there is one. */
  readonly server?: S3Server;
  /** Deletes what the run has stored. */
  clean(): Promise<void>;
  close(): Promise<void>;
}

interface Place {
  readonly run: string;
  readonly namespace: string;
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
}

export const locationName = "default";
/** Of a server of this process. */
export const ownBucket = "dm-demo";

/** Opens, or starts, the store that was asked for; keys of the run are under a prefix of its own. */
export async function openStore(store: string | undefined, place: Place): Promise<DemoStore> {
  if (store === undefined) return ownServer(place);
  return store.startsWith("s3://")
    ? bucketStore(new URL(store), place)
    : directoryStore(store, place);
}

async function ownServer(place: Place): Promise<DemoStore> {
  const directory = join(place.folder, "s3");
  await mkdir(directory, { recursive: true });
  const server = await startS3Server({ buckets: [ownBucket], directory, anyRegion: true });
  const { accessKeyId, secretAccessKey } = server.accessKey;
  return {
    server,
    description: `an S3 server of this process at ${server.endpoint}`,
    // Of a server for this run alone, on loopback.
    environment: [`AWS_ACCESS_KEY_ID=${accessKeyId}`, `AWS_SECRET_ACCESS_KEY=${secretAccessKey}`],
    ...s3Parts(place, {
      bucket: ownBucket,
      prefix: "velero",
      url: `http://${server.endpoint}`,
      region: "us-east-1",
      accessKeyId,
      secretAccessKey,
    }),
    // With the folder that the server keeps it in.
    async clean() {},
    close: () => server.close(),
  };
}

function bucketStore(url: URL, place: Place): DemoStore {
  const { environment, run } = place;
  const accessKeyId = environment["AWS_ACCESS_KEY_ID"];
  const secretAccessKey = environment["AWS_SECRET_ACCESS_KEY"];
  if (!accessKeyId || !secretAccessKey)
    throw new Error(
      "--store s3://… takes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from the environment",
    );
  const prefix = [url.pathname.replace(/^\/+|\/+$/g, ""), `dm-demo-${run}`]
    .filter(Boolean)
    .join("/");
  const parts = s3Parts(place, {
    bucket: url.hostname,
    prefix,
    url: environment["AWS_ENDPOINT_URL"],
    region: environment["AWS_REGION"] ?? "us-east-1",
    accessKeyId,
    secretAccessKey,
  });
  return {
    description: `bucket ${url.hostname}, prefix ${prefix}/`,
    environment: [],
    ...parts,
    clean: () => deleteAll(parts.location, `dm-demo-${run}`, environment),
    async close() {},
  };
}

interface S3Place {
  readonly bucket: string;
  readonly prefix: string;
  readonly url: string | undefined;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

function s3Parts(
  { namespace, run }: Place,
  s3: S3Place,
): Pick<DemoStore, "location" | "secret" | "connectFlags"> {
  const { accessKeyId, bucket, prefix, region, secretAccessKey, url } = s3;
  const credentials = `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
  const endpoint = url ? new URL(url) : undefined;
  return {
    secret: {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "cloud-credentials", namespace, labels: { [runLabel]: run } },
      type: "Opaque",
      data: { cloud: Buffer.from(credentials).toString("base64") },
    },
    location: {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: locationName, namespace, labels: { [runLabel]: run } },
      spec: {
        provider: "aws",
        default: true,
        objectStorage: { bucket, prefix },
        credential: { name: "cloud-credentials", key: "cloud" },
        config: { region, ...(url ? { s3Url: url, s3ForcePathStyle: "true" } : {}) },
      },
    },
    connectFlags: (workload) =>
      [
        `s3 --bucket=${bucket} --prefix=${prefix}/kopia/${workload}/`,
        ...(endpoint ? [`--endpoint=${endpoint.host}`] : []),
        ...(endpoint?.protocol === "http:" ? ["--disable-tls"] : []),
      ].join(" "),
  };
}

async function directoryStore(path: string, { namespace, run }: Place): Promise<DemoStore> {
  const root = join(resolve(path), `dm-demo-${run}`);
  await mkdir(root, { recursive: true });
  return {
    description: `directory ${root}`,
    environment: [],
    location: {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: { name: locationName, namespace, labels: { [runLabel]: run } },
      spec: {
        provider: "velero.io/fs",
        default: true,
        objectStorage: { bucket: "unused", prefix: "velero" },
        config: { fspath: root },
      },
    },
    connectFlags: (workload) => `filesystem --path=${root}/velero/kopia/${workload}/`,
    clean: () => rm(root, { recursive: true, force: true }),
    async close() {},
  };
}

/** Every blob of the one repository that the run has made; its prefix is the run's own. */
async function deleteAll(
  { spec }: BackupStorageLocation,
  namespace: string,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const { config, objectStorage, provider } = spec;
  const { bucket, prefix } = objectStorage;
  const location = { provider, config: config ?? {}, objectStorage: { bucket, prefix } };
  const store = await openVeleroStore(location, namespace, { environment });
  try {
    for await (const { id } of store.list("")) await store.delete(id);
  } finally {
    await store.close();
  }
}
