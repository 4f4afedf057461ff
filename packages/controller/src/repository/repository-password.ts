/**
 * The password of all repositories of an installation: one Secret, which whoever is first makes.
 * Proof: test/repository/repository-password.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { isDmError, NotFoundError } from "@dm/core";
import { type Secret, secrets } from "@dm/crds";
import { veleroDefaultPassword, veleroPasswordSecret } from "@dm/snapshot/velero";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { readSecretKey } from "./storage-location.ts";

/**
 * The password in the Secret, without white space around it.
 * @throws {NotFoundError} `DM_SECRET_NOT_FOUND`
 */
export async function readRepositoryPassword(
  client: Pick<KubeClient, "get">,
  namespace: string,
  options: KubeCallOptions = {},
): Promise<string> {
  return (await readSecretKey(client, namespace, veleroPasswordSecret, options)).trim();
}

/**
 * The password of repositories that others have made: a cluster that has only seen their backups has no Secret yet, and none is made
 * here. Then it can only be Velero's.
 * @throws {NotFoundError} `DM_SECRET_NOT_FOUND` when the Secret has no password in it
 */
export async function presentRepositoryPassword(
  client: Pick<KubeClient, "get">,
  namespace: string,
  options: KubeCallOptions = {},
): Promise<string> {
  const { name } = veleroPasswordSecret;
  if ((await client.get(secrets, { namespace, name }, options)) === undefined)
    return veleroDefaultPassword;
  return readRepositoryPassword(client, namespace, options);
}

export interface EnsurePasswordOptions extends KubeCallOptions {
  /** What a Secret that is missing gets: `velero` (default) the password that everybody knows, `random` one of its own. */
  readonly missing?: "random" | "velero" | undefined;
}

export interface RepositoryPassword {
  readonly password: string;
  /** Everybody knows it: whoever can read the bucket can read the backups. */
  readonly isCommon: boolean;
  /** Another one whenever somebody has changed the Secret. */
  readonly version: string;
}

/** Reads the password, and makes the Secret where there is none. A Secret that is there is never changed. */
export async function ensureRepositoryPassword(
  client: Pick<KubeClient, "create" | "get">,
  namespace: string,
  options: EnsurePasswordOptions = {},
): Promise<RepositoryPassword> {
  const { missing = "velero", signal } = options;
  const { key, name } = veleroPasswordSecret;
  if ((await client.get(secrets, { namespace, name }, { signal })) === undefined) {
    const password =
      missing === "velero" ? veleroDefaultPassword : randomBytes(32).toString("base64url");
    const secret: Secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace, name },
      type: "Opaque",
      data: { [key]: Buffer.from(password).toString("base64") },
    };
    try {
      await client.create(secrets, secret, { signal });
    } catch (error) {
      if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
    }
  }
  const secret = await client.get(secrets, { namespace, name }, { signal });
  const value = secret?.data?.[key];
  if (value === undefined) {
    throw new NotFoundError(
      "DM_SECRET_NOT_FOUND",
      `key ${key} of secret ${name} does not exist in ${namespace}`,
    );
  }
  const password = Buffer.from(value, "base64").toString("utf8").trim();
  const version = `${secret?.metadata.uid}/${secret?.metadata.resourceVersion}`;
  return { password, isCommon: password === veleroDefaultPassword, version };
}
