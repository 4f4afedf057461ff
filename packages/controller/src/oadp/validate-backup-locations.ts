/**
 * The backup locations of an application: each has one place to lie, a Secret that says enough, and exactly one is the default.
 * Proof: test/oadp/validate-application.test.ts.
 * @module
 */
import type { BackupLocation, Secret } from "@dm/crds";
import { backsUpImages, checksSecrets, type SeenApplication, veleroOf } from "./application.ts";
import {
  awsCredentialsProblem,
  azureCredentialsProblem,
  backupLocationSecret,
  providerName,
  type SecretKey,
} from "./location-secret.ts";
import { backupLocationName } from "./plan-locations.ts";
import { firstOf, type Problem } from "./problem.ts";

type Bucket = NonNullable<BackupLocation["bucket"]>;
type Velero = NonNullable<BackupLocation["velero"]>;

export function validateBackupLocations(seen: SeenApplication): Problem {
  const { application } = seen;
  const locations = application.spec?.backupLocations ?? [];
  const names = new Set<string>();
  for (const [index, location] of locations.entries()) {
    const name = backupLocationName(application, location, index);
    const problem = firstOf(
      () => placeProblem(location),
      () => prefixProblem(seen, location),
      () => location.velero && providerProblem(location.velero),
      () => checksSecrets(application) && secretProblem(seen, location),
      () => defaultProblem(location),
      () => location.velero && storageProblem(seen, location.velero),
      () => location.bucket && bucketProblem(seen, location.bucket),
      () => names.has(name) && `two backupLocations have the name ${name}`,
    );
    if (problem) return problem;
    names.add(name);
  }
  const defaults = locations.filter(isDefault).length;
  if (defaults > 1) return "Only one Storage Location be set as default";
  return defaults === 0 && !veleroOf(application).noDefaultBackupLocation
    ? "no default backupstoragelocations configured, ensure that one backupstoragelocation has been configured as the default location"
    : undefined;
}

function isDefault({ bucket, velero }: BackupLocation): boolean {
  return (velero ?? bucket)?.default === true;
}

function placeProblem({ bucket, velero }: BackupLocation): Problem {
  if (!bucket && !velero) return "BackupLocation must have velero or bucket configuration";
  return bucket && velero
    ? "cannot have both backupstoragelocations and bucket provided for a single StorageLocation"
    : undefined;
}

/** Images lie below the prefix, next to the backups. */
function prefixProblem(seen: SeenApplication, { bucket, velero }: BackupLocation): Problem {
  if (!backsUpImages(seen.application)) return undefined;
  const lacks = (what: string): string =>
    `BackupLocation must have ${what} prefix when backupImages is not set to false`;
  if (velero?.objectStorage && !velero.objectStorage.prefix) return lacks("velero");
  return bucket && !bucket.prefix ? lacks("cloud storage") : undefined;
}

function providerProblem({ provider }: Velero): Problem {
  if (!provider) return "no provider specified for one of the backupstoragelocations configured";
  return /^(velero\.io\/)?(aws|azure|gcp)$/.test(provider) ? undefined : "invalid provider";
}

function defaultProblem(location: BackupLocation): Problem {
  return location.name === "default" && !isDefault(location)
    ? "Storage location named 'default' must be set as default"
    : undefined;
}

function secretProblem(seen: SeenApplication, location: BackupLocation): Problem {
  const { bucket, velero } = location;
  if (bucket && !bucket.credential) return "must provide a valid credential secret";
  const secret = backupLocationSecret(location) ?? { name: "", key: "" };
  const storage = bucket && seen.cloudStorages.get(bucket.cloudStorageRef.name ?? "");
  return firstOf(
    () => !secret.name && emptyName(bucket),
    () => !secret.key && emptyKey(bucket),
    () => secretDataProblem(seen.secrets, secret),
    () => bucket && !storage && noCloudStorage(bucket),
    () =>
      backsUpImages(seen.application) &&
      textProblem(seen.secrets.get(secret.name), secret, {
        provider: velero?.provider ?? storage?.spec.provider ?? "",
        profile: (velero ?? bucket)?.config?.["profile"] ?? "default",
      }),
  );
}

const emptyName = (bucket: Bucket | undefined): string =>
  bucket
    ? "must provide a valid credential secret name"
    : "secret name specified for location cannot be empty";
const emptyKey = (bucket: Bucket | undefined): string =>
  bucket
    ? "must provide a valid credential secret key"
    : "secret key specified for location cannot be empty";

/** The Secret is there and has something under the key. */
export function secretDataProblem(
  secrets: ReadonlyMap<string, Secret>,
  { key, name }: SecretKey,
): Problem {
  const secret = secrets.get(name);
  if (!secret) return `Secret ${JSON.stringify(name)} not found`;
  return secret.data?.[key] ? undefined : `secret name ${name} is missing data for key ${key}`;
}

/** Images are copied by a registry, which does not look for credentials as widely as stores do. */
function textProblem(
  secret: Secret | undefined,
  { key, name }: SecretKey,
  { profile, provider }: { readonly provider: string; readonly profile: string },
): Problem {
  const text = Buffer.from(secret?.data?.[key] ?? "", "base64").toString("utf8");
  if (provider.includes("aws")) {
    const problem = awsCredentialsProblem(text, profile);
    return problem && `error parsing AWS secret ${name}: ${problem}`;
  }
  if (!provider.includes("azure")) return undefined;
  const problem = azureCredentialsProblem(text);
  return problem && `error parsing Azure secret ${name}: ${problem}`;
}

function storageProblem({ regions }: SeenApplication, location: Velero): Problem {
  const { config = {}, objectStorage } = location;
  const provider = providerName(location.provider);
  const called = { aws: "AWS", azure: "Azure", gcp: "GCP" }[provider] ?? provider;
  const { bucket } = objectStorage ?? {};
  if (!objectStorage)
    return `object storage configuration for ${called} backupstoragelocation cannot be nil`;
  if (!bucket) return `bucket name for ${called} backupstoragelocation cannot be empty`;
  if (provider === "aws" && !config["region"] && !(needsRegion(config) && regions.has(bucket)))
    return "region for AWS backupstoragelocation not automatically discoverable. Please set the region in the backupstoragelocation config";
  if (provider !== "azure") return undefined;
  const empty = ["resourceGroup", "storageAccount"].find((key) => !config[key]);
  return empty && `${empty} for Azure backupstoragelocation config cannot be empty`;
}

/** Whether AWS can be asked where a bucket lies: servers of others do not tell. */
export function needsRegion(config: Readonly<Record<string, string>>): boolean {
  return !config["region"] && !config["s3Url"] && config["s3ForcePathStyle"] !== "true";
}

function noCloudStorage({ cloudStorageRef }: Bucket): string {
  return `CloudStorage.oadp.openshift.io ${JSON.stringify(cloudStorageRef.name ?? "")} not found`;
}

function bucketProblem(seen: SeenApplication, bucket: Bucket): Problem {
  const storage = seen.cloudStorages.get(bucket.cloudStorageRef.name ?? "");
  if (!storage) return noCloudStorage(bucket);
  const { provider } = storage.spec;
  if (provider === "aws") return undefined;
  return provider === "azure" || provider === "gcp"
    ? `${provider} provider not yet supported`
    : "invalid provider";
}
