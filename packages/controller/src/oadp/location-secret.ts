/**
 * Which Secret has the credentials of a location, and what its text must hold. Pure; no text that comes out of here repeats a
 * part of a Secret.
 * Proof: test/oadp/location-secret.test.ts.
 * @module
 */
import type { BackupLocation, SecretKeySelector } from "@dm/crds";

export interface SecretKey {
  readonly name: string;
  readonly key: string;
}

/** What stands behind a provider when nothing else is said. */
const defaultSecrets: Readonly<Record<string, string>> = {
  aws: "cloud-credentials",
  gcp: "cloud-credentials-gcp",
  azure: "cloud-credentials-azure",
};
const defaultKey = "cloud";

/** Without `velero.io/`. */
export function providerName(provider: string): string {
  return provider.replace(/^velero\.io\//, "");
}

/**
 * The Secret of a location: the one in `config.credentialsFile` (`<name>/<key>`), else its credential, else the provider's. An
 * empty name or key is the caller's to refuse.
 */
export function locationSecret({
  provider,
  config,
  credential,
}: {
  readonly provider: string;
  readonly config?: Record<string, string> | undefined;
  readonly credential?: SecretKeySelector | undefined;
}): SecretKey {
  const file = /^\s*([^/\s]+)\/([^/\s]+)\s*$/.exec(config?.["credentialsFile"] ?? "");
  if (file) return { name: file[1] ?? "", key: file[2] ?? "" };
  if (credential) return { name: credential.name ?? "", key: credential.key };
  return { name: defaultSecrets[providerName(provider)] ?? "", key: defaultKey };
}

/** Of a backup location of either kind; undefined when it names none and has no default. */
export function backupLocationSecret({ bucket, velero }: BackupLocation): SecretKey | undefined {
  if (velero) return locationSecret(velero);
  const { credential } = bucket ?? {};
  return credential && { name: credential.name ?? "", key: credential.key };
}

/**
 * What is wrong with a credentials file of AWS, for one profile: it has a key id and a secret key, or says how to get them by a
 * role. Undefined when nothing is.
 */
export function awsCredentialsProblem(text: string, profile: string): string | undefined {
  const lines = profileLines(text, profile);
  if (lines === undefined) return "error finding AWS Profile for the supplied AWS credential";
  const has = (name: RegExp): boolean => lines.some((line) => name.test(line));
  if (has(/\b(role_arn|web_identity_token_file|sts_regional_endpoints)\b/)) return undefined;
  const id = valueIn(lines, "aws_access_key_id");
  const secret = valueIn(lines, "aws_secret_access_key");
  if (id === "") return "secret parsing error in key aws_access_key_id";
  if (secret === "") return "secret parsing error in key aws_secret_access_key";
  if (id === undefined && secret === undefined)
    return `no credentials or STS fields found in profile ${profile}`;
  if (id === undefined) return "error finding access key id for the supplied AWS credential";
  if (secret === undefined)
    return "error finding secret access key for the supplied AWS credential";
  return undefined;
}

const azureKeys = [
  "AZURE_STORAGE_ACCOUNT_ACCESS_KEY",
  "AZURE_SUBSCRIPTION_ID",
  "AZURE_TENANT_ID",
  "AZURE_CLIENT_ID",
  "AZURE_CLIENT_SECRET",
  "AZURE_RESOURCE_GROUP",
];

/** A variable that stands there without a value. */
export function azureCredentialsProblem(text: string): string | undefined {
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*\[.*\]/.test(line));
  const empty = azureKeys.find((key) => valueIn(lines, key) === "");
  return empty === undefined ? undefined : `secret parsing error in key ${empty}`;
}

/** Lines below `[profile]` up to the next heading; undefined when there is no such heading. */
function profileLines(text: string, profile: string): string[] | undefined {
  let found: string[] | undefined;
  let inside = false;
  for (const line of text.split(/\r?\n/)) {
    const heading = /\[(.*)\]/.exec(line)?.[1]?.replaceAll(" ", "");
    if (heading !== undefined) inside = heading === profile;
    if (heading === profile) found ??= [];
    else if (inside) found?.push(line);
  }
  return found;
}

/** Without quotes and blanks; undefined when there is no such line. */
function valueIn(lines: readonly string[], key: string): string | undefined {
  const line = lines.findLast((one) => new RegExp(`^\\s*["']?${key}\\b`).test(one));
  return line
    ?.replaceAll(/["' \t]/g, "")
    .slice(key.length)
    .replace(/^=/, "");
}
