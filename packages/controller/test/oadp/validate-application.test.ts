// Every refusal of the documentation, by its exact text: one row each, and that the row is the only thing wrong.
import type { BackupLocation, DataProtectionApplication, Secret } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { SeenApplication } from "../../src/oadp/application.ts";
import type { CloudStorage } from "../../src/oadp/cloud-storage.ts";
import { validateApplication } from "../../src/oadp/validate-application.ts";
import {
  application,
  awsCredentials,
  awsLocation,
  cloudCredentials,
  type Spec,
  secret,
  seen,
  type Velero,
} from "./samples.ts";

const { default: _, ...notDefault } = awsLocation;
const azureCredentials =
  "AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_STORAGE_ACCOUNT_ACCESS_KEY=k\n";
const azure: BackupLocation["velero"] = {
  provider: "velero.io/azure",
  default: true,
  objectStorage: { bucket: "b", prefix: "p" },
  config: { resourceGroup: "g", storageAccount: "s" },
};
const azureSecret = secret("cloud-credentials-azure", { cloud: azureCredentials });
const gcp: BackupLocation["velero"] = {
  provider: "gcp",
  default: true,
  objectStorage: { bucket: "b", prefix: "p" },
};
const gcpSecret = secret("cloud-credentials-gcp", { cloud: "{}" });
const bucket: NonNullable<BackupLocation["bucket"]> = {
  cloudStorageRef: { name: "cs" },
  credential: { name: "cloud-credentials", key: "cloud" },
  prefix: "p",
  default: true,
};
const storages = (provider: string): Map<string, CloudStorage> =>
  new Map([["cs", { metadata: { name: "cs" }, spec: { name: "b", provider } }]]);

const at = (...backupLocations: BackupLocation[]): Partial<Spec> => ({ backupLocations });
const velero = (location: BackupLocation["velero"]): Partial<Spec> =>
  at({ velero: location } as BackupLocation);
const snapshots = (...all: object[]): Partial<Spec> => ({
  snapshotLocations: all.map((one) => ({ velero: one })) as Spec["snapshotLocations"] & object,
});
const withVelero = (more: Velero, spec: Partial<Spec> = {}): DataProtectionApplication =>
  application(spec, { velero: more });
const withSecret = (text: string, profile = "default"): [DataProtectionApplication, Secret[]] => [
  application(velero({ ...awsLocation, config: { ...awsLocation.config, profile } })),
  [secret("cloud-credentials", { cloud: text })],
];
/** A value that the API server would have refused already. */
const broken = <T>(value: unknown): T => value as T;

describe("the documented refusals", () => {
  const rows: readonly [text: string, seen: SeenApplication][] = [
    [
      "only one DPA CR can exist per OADP installation namespace",
      seen(undefined, { applications: 2 }),
    ],
    [
      "DPA CR Velero configuration cannot be nil",
      seen({ ...application(), spec: { backupLocations: [], configuration: {} } }),
    ],
    [
      "DPA CR Velero configuration cannot have backup locations if noDefaultBackupLocation is set",
      seen(withVelero({ noDefaultBackupLocation: true })),
    ],
    [
      "backupImages needs to be set to false when noDefaultBackupLocation is set",
      seen(withVelero({ noDefaultBackupLocation: true }, { backupLocations: [] })),
    ],
    [
      "no backupstoragelocations configured, ensure a backupstoragelocation has been configured or use the noDefaultBackupLocation flag",
      seen(application({ backupLocations: [] })),
    ],
    [
      "no default backupstoragelocations configured, ensure that one backupstoragelocation has been configured as the default location",
      seen(application(velero(notDefault))),
    ],
    [
      "Only one Storage Location be set as default",
      seen(application(at({ velero: awsLocation }, { velero: awsLocation }))),
    ],
    [
      "Storage location named 'default' must be set as default",
      seen(application(at({ name: "default", velero: notDefault }, { velero: awsLocation }))),
    ],
    ["BackupLocation must have velero or bucket configuration", seen(application(at({})))],
    [
      "cannot have both backupstoragelocations and bucket provided for a single StorageLocation",
      seen(application(at({ velero: awsLocation, bucket }))),
    ],
    [
      "BackupLocation must have velero prefix when backupImages is not set to false",
      seen(application(velero({ ...awsLocation, objectStorage: { bucket: "b" } }))),
    ],
    [
      "BackupLocation must have cloud storage prefix when backupImages is not set to false",
      seen(application(at({ bucket: { ...bucket, prefix: "" } }))),
    ],
    [
      "no provider specified for one of the backupstoragelocations configured",
      seen(application(velero({ ...awsLocation, provider: "" }))),
    ],
    ["invalid provider", seen(application(velero({ ...awsLocation, provider: "minio" })))],
    [
      "object storage configuration for AWS backupstoragelocation cannot be nil",
      seen(application(velero({ ...awsLocation, objectStorage: broken(undefined) }))),
    ],
    [
      "bucket name for AWS backupstoragelocation cannot be empty",
      seen(application(velero({ ...awsLocation, objectStorage: { bucket: "", prefix: "p" } }))),
    ],
    [
      "region for AWS backupstoragelocation not automatically discoverable. Please set the region in the backupstoragelocation config",
      seen(application(velero({ ...awsLocation, config: {} }))),
    ],
    [
      "region for AWS backupstoragelocation not automatically discoverable. Please set the region in the backupstoragelocation config",
      seen(application(velero({ ...awsLocation, config: { s3ForcePathStyle: "true" } })), {
        regions: new Map([["backups", "eu-central-1"]]),
      }),
    ],
    [
      "object storage configuration for Azure backupstoragelocation cannot be nil",
      seen(application(velero({ ...azure, objectStorage: broken(undefined) })), {
        secrets: [azureSecret],
      }),
    ],
    [
      "resourceGroup for Azure backupstoragelocation config cannot be empty",
      seen(application(velero({ ...azure, config: { storageAccount: "s" } })), {
        secrets: [azureSecret],
      }),
    ],
    [
      "storageAccount for Azure backupstoragelocation config cannot be empty",
      seen(application(velero({ ...azure, config: { resourceGroup: "s" } })), {
        secrets: [azureSecret],
      }),
    ],
    [
      "bucket name for GCP backupstoragelocation cannot be empty",
      seen(application(velero({ ...gcp, objectStorage: { bucket: "", prefix: "p" } })), {
        secrets: [gcpSecret],
      }),
    ],
    ['Secret "cloud-credentials" not found', seen(undefined, { secrets: [] })],
    [
      "secret name cloud-credentials is missing data for key cloud",
      seen(undefined, { secrets: [secret("cloud-credentials", { other: "x" })] }),
    ],
    [
      "secret name specified for location cannot be empty",
      seen(application(velero({ ...awsLocation, credential: { name: "", key: "cloud" } }))),
    ],
    [
      "secret key specified for location cannot be empty",
      seen(application(velero({ ...awsLocation, credential: { name: "s", key: "" } }))),
    ],
    [
      "error parsing AWS secret cloud-credentials: error finding AWS Profile for the supplied AWS credential",
      seen(...withSecretOf(awsCredentials("other"))),
    ],
    [
      "error parsing AWS secret cloud-credentials: error finding access key id for the supplied AWS credential",
      seen(...withSecretOf("[default]\naws_secret_access_key=x\n")),
    ],
    [
      "error parsing AWS secret cloud-credentials: error finding secret access key for the supplied AWS credential",
      seen(...withSecretOf("[default]\naws_access_key_id=x\n[other]\naws_secret_access_key=x\n")),
    ],
    [
      "error parsing Azure secret cloud-credentials-azure: secret parsing error in key AZURE_CLIENT_ID",
      seen(application(velero(azure)), {
        secrets: [secret("cloud-credentials-azure", { cloud: "AZURE_CLIENT_ID=\n" })],
      }),
    ],
    [
      "must provide a valid credential secret",
      seen(application(at({ bucket: { ...bucket, credential: broken(undefined) } }))),
    ],
    [
      "azure provider not yet supported",
      seen(application(at({ bucket })), { cloudStorages: storages("azure") }),
    ],
    [
      "gcp provider not yet supported",
      seen(application(at({ bucket })), { cloudStorages: storages("gcp") }),
    ],
    ['CloudStorage.oadp.openshift.io "cs" not found', seen(application(at({ bucket })))],
    [
      "snapshotLocation velero configuration cannot be nil",
      seen(application({ snapshotLocations: [{ velero: broken(undefined) }] })),
    ],
    [
      "DPA spec.snapshotLocations[0].velero.provider minio is invalid: only aws, gcp and azure are supported",
      seen(application(snapshots({ provider: "minio" }))),
    ],
    [
      "region for aws VSL in DPA spec.snapshotLocations[0].velero.config is not configured, please ensure a region is configured",
      seen(application(snapshots({ provider: "aws" }))),
    ],
    [
      "DPA spec.snapshotLocations[1].velero.config key bucket is not a valid aws config key",
      seen(
        application(
          snapshots(
            { provider: "aws", config: { region: "r" } },
            { provider: "aws", config: { region: "r", bucket: "b" } },
          ),
        ),
      ),
    ],
    [
      "to use VSL for gcp specified in DPA spec.snapshotLocations[0], gcp plugin must be present in spec.configuration.velero.defaultPlugins",
      seen(application(snapshots({ provider: "gcp" }))),
    ],
    [
      "Secret key specified in SnapshotLocation cannot be empty",
      seen(
        application(
          snapshots({
            provider: "aws",
            config: { region: "r" },
            credential: { name: "s", key: "" },
          }),
        ),
      ),
    ],
    [
      "Secret name specified in SnapshotLocation cannot be empty",
      seen(
        application(
          snapshots({ provider: "aws", config: { region: "r" }, credential: { key: "cloud" } }),
        ),
      ),
    ],
    [
      "Delete vsm from spec.configuration.velero.defaultPlugins and dataMover object from spec.features. Use Velero Built-in Data Mover instead",
      seen(application({ features: { dataMover: { enable: true } } })),
    ],
    [
      "Delete vsm from spec.configuration.velero.defaultPlugins and dataMover object from spec.features. Use Velero Built-in Data Mover instead",
      seen(withVelero({ defaultPlugins: ["aws", "vsm"] })),
    ],
    [
      "Delete restic object from spec.configuration, use spec.configuration.nodeAgent instead",
      seen(application({}, { restic: { enable: true } })),
    ],
    [
      "aws and legacy-aws can not be both specified in DPA spec.configuration.velero.defaultPlugins",
      seen(withVelero({ defaultPlugins: ["aws", "legacy-aws"] })),
    ],
    [
      "when spec.configuration.nodeAgent.PodConfig is set, spec.configuration.nodeAgent.LoadAffinityConfig must contain no more than one entry",
      seen(withAffinity({ a: "1" }, [{ nodeSelector: {} }, { nodeSelector: {} }])),
    ],
    [
      "when spec.configuration.nodeAgent.PodConfig is set, spec.configuration.nodeAgent.LoadAffinityConfig must define matchLabels",
      seen(withAffinity({ a: "1" }, [{ nodeSelector: {} }])),
    ],
    [
      "when spec.configuration.nodeAgent.PodConfig is set, spec.configuration.nodeAgent.LoadAffinityConfig must not define matchExpressions",
      seen(
        withAffinity({ a: "1" }, [
          {
            nodeSelector: {
              matchLabels: { a: "1" },
              matchExpressions: [{ key: "b", operator: "Exists" }],
            },
          },
        ]),
      ),
    ],
    [
      "when spec.configuration.nodeAgent.PodConfig is set, all labels from the spec.configuration.nodeAgent.PodConfig must be present in spec.configuration.nodeAgent.LoadAffinityConfig",
      seen(withAffinity({ a: "1", b: "2" }, [{ nodeSelector: { matchLabels: { a: "1" } } }])),
    ],
    [
      "only mtc operator type override is supported",
      seen(application({ unsupportedOverrides: { "operator-type": "other" } })),
    ],
    [
      "invalid log level chatty, use: trace, debug, info, warning, error, fatal, or panic",
      seen(withVelero({ logLevel: broken("chatty") })),
    ],
  ];
  it.each(rows)("%s", (text, state) => {
    expect(validateApplication(state)).toBe(text);
  });

  it("is complete: no text of the rows is repeated but for two ways to the same one", () => {
    expect(new Set(rows.map(([text]) => text)).size).toBe(rows.length - 2);
  });
});

/** A Secret with this text, and the application that reads it. */
function withSecretOf(text: string): [DataProtectionApplication, { secrets: Secret[] }] {
  const [given, secrets] = withSecret(text);
  return [given, { secrets }];
}

function withAffinity(
  nodeSelector: Record<string, string>,
  loadAffinity: NonNullable<NonNullable<Spec["configuration"]["nodeAgent"]>["loadAffinity"]>,
): DataProtectionApplication {
  return application({}, { agent: { podConfig: { nodeSelector }, loadAffinity } });
}

describe("refusals of our own", () => {
  it.each<[string, DataProtectionApplication]>([
    [
      "two backupLocations have the name dpa-2",
      application(at({ name: "dpa-2", velero: awsLocation }, { velero: notDefault })),
    ],
    [
      "two snapshotLocations have the name dpa-2",
      application({
        snapshotLocations: [
          { name: "dpa-2", velero: { provider: "aws", config: { region: "r" } } },
          { velero: { provider: "aws", config: { region: "r" } } },
        ],
      }),
    ],
    [
      'spec.configuration.nodeAgent.dataMoverPrepareTimeout: time: invalid duration "soon"',
      application({}, { agent: { dataMoverPrepareTimeout: "soon" } }),
    ],
    [
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      withVelero({ podConfig: { resourceAllocations: { limits: { cpu: "much" } } } }),
    ],
    [
      'ConfigMap "arguments" not found',
      {
        ...application(),
        metadata: {
          ...application().metadata,
          annotations: { "oadp.openshift.io/unsupported-velero-server-args": "arguments" },
        },
      },
    ],
  ])("%s", (text, given) => {
    expect(validateApplication(seen(given))).toBe(text);
  });
});

describe("what is accepted", () => {
  it.each<[string, SeenApplication]>([
    ["the documentation's example", seen()],
    [
      "a region that AWS tells",
      seen(application(velero({ ...awsLocation, config: {} })), {
        regions: new Map([["backups", "eu-central-1"]]),
      }),
    ],
    [
      "no Secret with the flag no-secret",
      seen(withVelero({ featureFlags: ["no-secret"] }), { secrets: [] }),
    ],
    [
      "a role instead of keys",
      seen(
        ...withSecretOf("[default]\nrole_arn=arn:aws:iam::1:role/x\nweb_identity_token_file=/t\n"),
      ),
    ],
    [
      "another profile",
      seen(withSecret("", "backup")[0], {
        secrets: [
          secret("cloud-credentials", {
            cloud: `${awsCredentials()}[ backup ]\r\naws_access_key_id = a\r\naws_secret_access_key = 'b'\r\n`,
          }),
        ],
      }),
    ],
    [
      "credentials that nobody parses because images are not backed up",
      seen(application({ backupImages: false }), {
        secrets: [secret("cloud-credentials", { cloud: "anything" })],
      }),
    ],
    ["Azure", seen(application(velero(azure)), { secrets: [azureSecret] })],
    ["GCP", seen(application(velero(gcp)), { secrets: [gcpSecret] })],
    [
      "a bucket of a CloudStorage",
      seen(application(at({ bucket })), {
        cloudStorages: storages("aws"),
      }),
    ],
    [
      "no location at all",
      seen(
        withVelero({ noDefaultBackupLocation: true }, { backupLocations: [], backupImages: false }),
        { secrets: [] },
      ),
    ],
    [
      "a credentials file by name and key",
      seen(
        application(
          velero({ ...awsLocation, config: { region: "r", credentialsFile: "mine/file" } }),
        ),
        { secrets: [secret("mine", { file: awsCredentials() })] },
      ),
    ],
    [
      "snapshot locations of three clouds",
      seen(
        application(
          snapshots(
            { provider: "aws", config: { region: "r" } },
            { provider: "gcp", config: { project: "p" } },
            { provider: "azure", config: { resourceGroup: "g" } },
          ),
          { velero: { defaultPlugins: ["legacy-aws", "gcp", "azure"] } },
        ),
        { secrets: [cloudCredentials, gcpSecret, azureSecret] },
      ),
    ],
    [
      "podConfig and affinity that agree",
      seen(withAffinity({ a: "1" }, [{ nodeSelector: { matchLabels: { a: "1", b: "2" } } }])),
    ],
  ])("%s", (_, state) => {
    expect(validateApplication(state)).toBeUndefined();
  });
});
