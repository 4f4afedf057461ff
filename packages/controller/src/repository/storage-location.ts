/**
 * What a BackupStorageLocation and its Secrets say, as the data path needs it.
 * Proof: test/repository/storage-location.test.ts.
 * @module
 */
import { NotFoundError } from "@dm/core";
import {
  type BackupStorageLocation,
  backupStorageLocations,
  type SecretKeySelector,
  secrets,
} from "@dm/crds";
import type { VeleroLocation } from "@dm/snapshot/velero";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";

export interface ReadLocation {
  readonly object: BackupStorageLocation;
  readonly location: VeleroLocation;
  /** Reads the credential file's Secret, anew each time; undefined when the location names none. */
  readonly credentials?: (() => Promise<string>) | undefined;
  readonly readOnly: boolean;
}

/**
 * @throws {NotFoundError} `DM_LOCATION_NOT_FOUND`, `DM_SECRET_NOT_FOUND`
 * @example const { location, credentials } = await readStorageLocation(client, { namespace: "velero", name: "default" });
 */
export async function readStorageLocation(
  client: Pick<KubeClient, "get">,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReadLocation> {
  const object = await client.get(backupStorageLocations, key, options);
  if (object === undefined) {
    throw new NotFoundError(
      "DM_LOCATION_NOT_FOUND",
      `backup storage location ${key.namespace}/${key.name} does not exist`,
    );
  }
  const { accessMode, config, credential, objectStorage, provider } = object.spec;
  const { caCertRef } = objectStorage ?? {};
  const caCert = caCertRef
    ? Buffer.from(await readSecretKey(client, key.namespace, caCertRef, options)).toString("base64")
    : objectStorage?.caCert;
  return {
    object,
    location: {
      provider,
      config: config ?? {},
      objectStorage: objectStorage && {
        bucket: objectStorage.bucket,
        prefix: objectStorage.prefix,
        caCert,
      },
    },
    credentials: credential && (() => readSecretKey(client, key.namespace, credential)),
    readOnly: accessMode === "ReadOnly",
  };
}

/**
 * The text under one key of a Secret.
 * @throws {NotFoundError} `DM_SECRET_NOT_FOUND`; an optional key that is missing is an empty text
 */
export async function readSecretKey(
  client: Pick<KubeClient, "get">,
  namespace: string | undefined,
  { key, name = "", optional }: SecretKeySelector,
  options: KubeCallOptions = {},
): Promise<string> {
  const secret = await client.get(secrets, { namespace, name }, options);
  const value = secret?.data?.[key];
  if (value !== undefined) return Buffer.from(value, "base64").toString("utf8");
  if (optional) return "";
  const missing = secret === undefined ? `secret ${name}` : `key ${key} of secret ${name}`;
  throw new NotFoundError("DM_SECRET_NOT_FOUND", `${missing} does not exist in ${namespace}`);
}
