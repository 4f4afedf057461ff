/**
 * The snapshot locations of an application. They name native snapshots of clouds, which nothing here takes; they are made for those
 * who read them.
 * Proof: test/oadp/validate-application.test.ts.
 * @module
 */
import type { DataProtectionApplication } from "@dm/crds";
import { checksSecrets, pluginsOf, type SeenApplication } from "./application.ts";
import { locationSecret } from "./location-secret.ts";
import { snapshotLocationName } from "./plan-locations.ts";
import { firstOf, type Problem } from "./problem.ts";
import { secretDataProblem } from "./validate-backup-locations.ts";

type Location = NonNullable<
  NonNullable<DataProtectionApplication["spec"]>["snapshotLocations"]
>[number];

const knownKeys: Readonly<Record<string, readonly string[]>> = {
  aws: ["profile", "region", "credentialsFile", "enableSharedConfig"],
  gcp: ["project", "snapshotLocation"],
  azure: ["apiTimeout", "incremental", "subscriptionId", "resourceGroup"],
};

export function validateSnapshotLocations(seen: SeenApplication): Problem {
  const { application } = seen;
  const names = new Set<string>();
  for (const [index, location] of (application.spec?.snapshotLocations ?? []).entries()) {
    const name = snapshotLocationName(application, location, index);
    const problem = firstOf(
      () => !location.velero && "snapshotLocation velero configuration cannot be nil",
      () => configProblem(application, location, index),
      () => checksSecrets(application) && secretProblem(seen, location),
      () => names.has(name) && `two snapshotLocations have the name ${name}`,
    );
    if (problem) return problem;
    names.add(name);
  }
  return undefined;
}

function configProblem(
  application: DataProtectionApplication,
  { velero: { config = {}, provider } }: Location,
  index: number,
): Problem {
  const path = `spec.snapshotLocations[${index}]`;
  const keys = knownKeys[provider];
  if (!keys)
    return `DPA ${path}.velero.provider ${provider} is invalid: only aws, gcp and azure are supported`;
  if (provider === "aws" && !config["region"])
    return `region for aws VSL in DPA ${path}.velero.config is not configured, please ensure a region is configured`;
  const unknown = Object.keys(config).find((key) => !keys.includes(key));
  if (unknown !== undefined)
    return `DPA ${path}.velero.config key ${unknown} is not a valid ${provider} config key`;
  const isThere = pluginsOf(application).some(
    (plugin) => plugin === provider || (plugin === "legacy-aws" && provider === "aws"),
  );
  return isThere
    ? undefined
    : `to use VSL for ${provider} specified in DPA ${path}, ${provider} plugin must be present in spec.configuration.velero.defaultPlugins`;
}

function secretProblem({ secrets }: SeenApplication, { velero }: Location): Problem {
  const { config, credential } = velero;
  if (credential && !credential.key)
    return "Secret key specified in SnapshotLocation cannot be empty";
  if (credential && !credential.name)
    return "Secret name specified in SnapshotLocation cannot be empty";
  if (config?.["credentialsFile"]) return undefined;
  return secretDataProblem(secrets, locationSecret(velero));
}
