/**
 * A repository in a bucket of Google Cloud Storage.
 * @module
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { GcsConfig } from "@dm/storage/gcs";
import { UsageError } from "../io.ts";
import {
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  trustedCertificates,
  withThrottling,
} from "./provider.ts";

interface GcsFlags extends ThrottlingFlags {
  readonly bucket: string;
  readonly prefix?: string;
  readonly readOnly?: boolean;
  readonly credentialsFile?: string;
  readonly embedCredentials?: boolean;
  readonly pointInTime?: string;
}

export const gcsProvider: StorageProvider = {
  type: "gcs",
  place: "a Google Cloud Storage bucket",
  secrets: ["credentials"],
  withFlags(command) {
    withThrottling(
      command
        .requiredOption("--bucket <name>", "name of the bucket")
        .option("--prefix <prefix>", "before all names; a folder ends in a slash")
        .option("--read-only", "ask for a token that can only read, and refuse changes")
        .option("--credentials-file <file>", "JSON file with credentials")
        .option("--embed-credentials", "store what is in that file with the connection")
        .option("--point-in-time <time>", "what a bucket with versions held then; read-only"),
    );
    command.addHelpText(
      "after",
      "\nWithout a file, each command looks for the credentials of GOOGLE_APPLICATION_CREDENTIALS, gcloud's, or those of the pod or machine.\n" +
        "STORAGE_EMULATOR_HOST names an emulator; SSL_CERT_FILE certificate authorities, as for kopia.",
    );
  },
  async connection(flags, { isCreation }) {
    const options = flags as GcsFlags;
    const { bucket, credentialsFile, embedCredentials, pointInTime, prefix, readOnly } = options;
    if (isCreation && pointInTime) throw new UsageError("the past has no room for a repository");
    if (embedCredentials && !credentialsFile) {
      throw new UsageError("--embed-credentials needs --credentials-file");
    }
    const config: GcsConfig = {
      bucket,
      prefix,
      ...(credentialsFile && embedCredentials
        ? { credentials: await credentialsIn(credentialsFile) }
        : { credentialsFile: credentialsFile && resolve(credentialsFile) }),
      readOnly,
      pointInTime,
      ...throttlingConfig(options),
    };
    const { encodeGcsConfig } = await import("@dm/storage/gcs");
    return { type: "gcs", config: encodeGcsConfig(config) };
  },
  displayName: ({ bucket }) => `GCS: ${String(bucket)}`,
  async written(config) {
    const { encodeGcsConfig } = await import("@dm/storage/gcs");
    return encodeGcsConfig(config as GcsConfig);
  },
  async open(config, { env, logger }) {
    const { decodeGcsConfig, gcsStore, gcsStoreOptions, nodeTransport } = await import(
      "@dm/storage/gcs"
    );
    const transport = nodeTransport({ rootCa: await trustedCertificates(env), environment: env });
    const options = gcsStoreOptions(decodeGcsConfig(config), { environment: env });
    return gcsStore({ ...options, transport, logger });
  },
};

/** Never quoted: a key is in it. */
async function credentialsIn(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, "utf8");
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new UsageError(`${file} is no JSON file`);
  }
}
