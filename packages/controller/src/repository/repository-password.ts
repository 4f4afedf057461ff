/**
 * The password of all repositories of an installation: one Secret, which whoever is first makes.
 * Proof: test/repository/repository-password.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { isDmError } from "@dm/core";
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

export interface EnsurePasswordOptions extends KubeCallOptions {
  /** What a Secret that is missing gets: `velero` the password that everybody knows, `random` (default) one of its own. */
  readonly missing?: "random" | "velero" | undefined;
}

export interface RepositoryPassword {
  readonly password: string;
  /** Everybody knows it: whoever can read the bucket can read the backups. */
  readonly isCommon: boolean;
}

/** Reads the password, and makes the Secret where there is none. A Secret that is there is never changed. */
export async function ensureRepositoryPassword(
  client: Pick<KubeClient, "create" | "get">,
  namespace: string,
  options: EnsurePasswordOptions = {},
): Promise<RepositoryPassword> {
  const { missing = "random", signal } = options;
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
  const password = await readRepositoryPassword(client, namespace, { signal });
  return { password, isCommon: password === veleroDefaultPassword };
}
