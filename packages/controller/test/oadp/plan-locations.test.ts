// Locations as they stand in an application, and what is filled in: names, labels, the Secret, ports and checksums of S3.
import { describe, expect, it } from "vitest";
import {
  planBackupLocations,
  planSnapshotLocations,
  secretNames,
  withoutDefaultPort,
} from "../../src/oadp/plan-locations.ts";
import { application, awsLocation, namespace, seen } from "./samples.ts";

describe("backup locations", () => {
  it("are the application's, with labels and the provider's Secret", () => {
    const caCert = Buffer.from("certificate").toString("base64");
    const location = {
      ...awsLocation,
      objectStorage: { ...awsLocation.objectStorage, caCert },
      backupSyncPeriod: "2m0s",
      accessMode: "ReadOnly" as const,
      config: {
        region: "r",
        profile: "p",
        s3Url: "https://s3.example:443",
        s3ForcePathStyle: "true",
      },
    };
    expect(
      planBackupLocations(seen(application({ backupLocations: [{ velero: location }] }))),
    ).toEqual([
      {
        apiVersion: "velero.io/v1",
        kind: "BackupStorageLocation",
        metadata: {
          name: "dpa-1",
          namespace,
          labels: {
            "app.kubernetes.io/name": "oadp-operator-velero",
            "app.kubernetes.io/instance": "dpa-1",
            "app.kubernetes.io/managed-by": "oadp-operator",
            "app.kubernetes.io/component": "bsl",
            "openshift.io/oadp": "True",
          },
        },
        spec: {
          ...location,
          config: { ...location.config, s3Url: "https://s3.example", checksumAlgorithm: "" },
          credential: { name: "cloud-credentials", key: "cloud" },
        },
      },
    ]);
    expect(location.config.s3Url).toBe("https://s3.example:443");
  });

  it("keep a credential and a checksum that were chosen, and their own name", () => {
    const velero = {
      ...awsLocation,
      credential: { name: "mine", key: "k" },
      config: { region: "r", checksumAlgorithm: "CRC32" },
    };
    const [planned] = planBackupLocations(
      seen(application({ backupLocations: [{ name: "default", velero }] })),
    );
    expect(planned).toMatchObject({ metadata: { name: "default" }, spec: velero });
  });

  it("have no credential where none is looked at", () => {
    const given = application({}, { velero: { featureFlags: ["no-secret"] } });
    expect(planBackupLocations(seen(given))[0]?.spec.credential).toBeUndefined();
  });

  it("of a CloudStorage are its bucket", () => {
    const bucket = {
      cloudStorageRef: { name: "cs" },
      credential: { name: "c", key: "k" },
      prefix: "p",
      default: true,
      config: { region: "r" },
    };
    const cloudStorages = new Map([
      [
        "cs",
        {
          metadata: { name: "cs" },
          spec: { name: "real-name", provider: "aws", enableSharedConfig: true },
        },
      ],
    ]);
    const given = application({ backupLocations: [{ bucket }] });
    expect(planBackupLocations(seen(given, { cloudStorages }))[0]?.spec).toEqual({
      provider: "aws",
      default: true,
      objectStorage: { bucket: "real-name", prefix: "p" },
      config: { region: "r", enableSharedConfig: "true" },
      credential: { name: "c", key: "k" },
    });
  });
});

it("snapshot locations are copied", () => {
  const velero = { provider: "aws", config: { region: "r" }, credential: { name: "s", key: "k" } };
  expect(
    planSnapshotLocations(seen(application({ snapshotLocations: [{ velero }] }))),
  ).toMatchObject([
    {
      kind: "VolumeSnapshotLocation",
      metadata: { name: "dpa-1", labels: { "app.kubernetes.io/component": "vsl" } },
      spec: velero,
    },
  ]);
});

it("each Secret is named once", () => {
  const given = application({
    backupLocations: [
      { velero: awsLocation },
      { velero: { ...awsLocation, credential: { name: "b", key: "k" } } },
    ],
    snapshotLocations: [
      { velero: { provider: "aws" } },
      { velero: { provider: "gcp" } },
      { velero: { provider: "aws", credential: { name: "b", key: "k" } } },
    ],
  });
  expect(secretNames(given)).toEqual(["cloud-credentials", "b", "cloud-credentials-gcp"]);
});

it.each([
  ["http://minio:80", "http://minio"],
  ["http://minio:80/", "http://minio/"],
  ["https://s3.example:443/x", "https://s3.example/x"],
  ["http://minio:443", "http://minio:443"],
  ["https://minio:8043", "https://minio:8043"],
  ["http://[::1]:80", "http://[::1]"],
])("%s → %s", (url, stripped) => {
  expect(withoutDefaultPort(url)).toBe(stripped);
});
