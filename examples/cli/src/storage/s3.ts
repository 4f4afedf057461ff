/**
 * A repository in a bucket of AWS S3 or of a server that speaks as it does.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { S3Config } from "@dm/storage/s3";
import { UsageError } from "../io.ts";
import { secret } from "../options.ts";
import {
  type StorageProvider,
  type ThrottlingFlags,
  throttlingConfig,
  withThrottling,
} from "./provider.ts";

interface S3Flags extends ThrottlingFlags {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region?: string;
  readonly prefix?: string;
  readonly accessKey?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  readonly disableTls?: boolean;
  readonly disableTlsVerification?: boolean;
  readonly rootCaPemBase64?: string;
  readonly rootCaPemPath?: string;
  readonly pointInTime?: string;
}

export const s3Provider: StorageProvider = {
  type: "s3",
  place: "an S3 bucket",
  secrets: ["secretAccessKey", "sessionToken", "webIdentityToken"],
  withFlags(command, session) {
    withThrottling(
      command
        .requiredOption("--bucket <name>", "name of the bucket")
        .option("--endpoint <host>", "host and port of the server", "s3.amazonaws.com")
        .option("--region <region>", "region; asked of the server by default")
        .option("--prefix <prefix>", "before all names; a folder ends in a slash")
        .option("--access-key <id>", "id of the access key (AWS_ACCESS_KEY_ID)")
        .addOption(secret(session, "--secret-access-key <key>"))
        .addOption(secret(session, "--session-token <token>"))
        .option("--disable-tls", "speak HTTP")
        .option("--disable-tls-verification", "accept any certificate")
        .option("--root-ca-pem-path <file>", "certificate authorities to trust, in PEM")
        .option("--root-ca-pem-base64 <base64>", "the same in place (ROOT_CA_PEM_BASE64)")
        .option("--point-in-time <time>", "what a versioned bucket held then; read-only"),
    );
    command.addHelpText(
      "after",
      "\nThe secret key comes from AWS_SECRET_ACCESS_KEY, a session token from AWS_SESSION_TOKEN. Without keys, each command looks for\n" +
        "the role of the pod (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE), then in the credentials file (AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE).",
    );
  },
  async connection(flags, { env, isCreation }) {
    const options = flags as S3Flags;
    const { bucket, endpoint, pointInTime, prefix, region } = options;
    if (isCreation && pointInTime) throw new UsageError("the past has no room for a repository");
    const accessKeyID = options.accessKey ?? env["AWS_ACCESS_KEY_ID"];
    const secretAccessKey = options.secretAccessKey ?? env["AWS_SECRET_ACCESS_KEY"];
    if (!accessKeyID !== !secretAccessKey) {
      throw new UsageError("an access key is an id and a secret: one of them is missing");
    }
    // Kopia takes a host alone; what a backup storage location calls s3Url is a URL.
    const [, scheme, host = endpoint] = /^(https?):\/\/([^/]+)\/?$/i.exec(endpoint) ?? [];
    const config: S3Config = {
      bucket,
      endpoint: host,
      prefix,
      region,
      accessKeyID,
      secretAccessKey,
      sessionToken: options.sessionToken ?? env["AWS_SESSION_TOKEN"],
      doNotUseTLS: scheme ? scheme.toLowerCase() === "http" : options.disableTls,
      doNotVerifyTLS: options.disableTlsVerification,
      rootCA: await rootCaOf(options, env),
      pointInTime,
      ...throttlingConfig(options),
    };
    const { encodeS3Config } = await import("@dm/storage/s3");
    return { type: "s3", config: encodeS3Config(config) };
  },
  displayName: ({ bucket, endpoint }) => `S3: ${String(endpoint)} ${String(bucket)}`,
  async written(config) {
    const { encodeS3Config } = await import("@dm/storage/s3");
    return encodeS3Config(config as S3Config);
  },
  async open(config, { env, logger }) {
    const { decodeS3Config, s3Store, s3StoreOptions } = await import("@dm/storage/s3");
    return s3Store({
      ...s3StoreOptions(decodeS3Config(config), { environment: env }),
      logger,
    });
  },
};

/** In base64, as it is stored. */
async function rootCaOf(
  { rootCaPemBase64, rootCaPemPath }: S3Flags,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  if (rootCaPemBase64 && rootCaPemPath) {
    throw new UsageError("--root-ca-pem-base64 and --root-ca-pem-path exclude each other");
  }
  if (rootCaPemPath) return readFile(rootCaPemPath, "base64");
  return rootCaPemBase64 || env["ROOT_CA_PEM_BASE64"] || undefined;
}
