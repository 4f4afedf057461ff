// Applications, Secrets and what is seen of them, for tests of pure functions.
import type { BackupLocation, DataProtectionApplication, Secret } from "@dm/crds";
import type { SeenApplication } from "../../src/oadp/application.ts";

export const namespace = "openshift-adp";
export type Spec = NonNullable<DataProtectionApplication["spec"]>;
export type Velero = NonNullable<Spec["configuration"]["velero"]>;
export type Agent = NonNullable<Spec["configuration"]["nodeAgent"]>;

export const awsLocation: NonNullable<BackupLocation["velero"]> = {
  provider: "aws",
  default: true,
  objectStorage: { bucket: "backups", prefix: "velero" },
  config: { region: "eu-central-1", profile: "default" },
};

/** As the documentation's example: one location on S3, the data mover enabled. */
export function application(
  spec: Partial<Omit<Spec, "configuration">> = {},
  {
    agent,
    velero,
    ...configuration
  }: {
    readonly velero?: Velero;
    readonly agent?: Partial<Agent>;
    readonly restic?: Record<string, unknown>;
    readonly repositoryMaintenance?: Spec["configuration"]["repositoryMaintenance"];
  } = {},
): DataProtectionApplication {
  return {
    apiVersion: "oadp.openshift.io/v1alpha1",
    kind: "DataProtectionApplication",
    metadata: { name: "dpa", namespace, uid: "uid-dpa" },
    spec: {
      backupLocations: [{ velero: awsLocation }],
      ...spec,
      configuration: {
        velero: { defaultPlugins: ["aws", "openshift", "csi"], ...velero },
        nodeAgent: { enable: true, uploaderType: "kopia", ...agent },
        ...(configuration as object),
      },
    },
  };
}

export const awsCredentials = (profile = "default"): string =>
  `[${profile}]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key="wJalrXUtnFEMI/K7MDENG"\n`;

export function secret(name: string, data: Readonly<Record<string, string>>): Secret {
  const encoded = Object.entries(data).map(([key, text]) => [
    key,
    Buffer.from(text).toString("base64"),
  ]);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    data: Object.fromEntries(encoded),
  };
}

export const cloudCredentials: Secret = secret("cloud-credentials", { cloud: awsCredentials() });

export function seen(
  given: DataProtectionApplication = application(),
  more: Partial<Omit<SeenApplication, "application" | "secrets">> & {
    readonly secrets?: readonly Secret[];
  } = {},
): SeenApplication {
  const { secrets = [cloudCredentials], ...rest } = more;
  return {
    application: given,
    applications: 1,
    cloudStorages: new Map(),
    regions: new Map(),
    ...rest,
    secrets: new Map(secrets.map((one) => [one.metadata.name ?? "", one])),
  };
}
