/**
 * Credentials, and where they come from. Providers are asked before every request and keep what they know; they are
 * told when a server refuses, and then read again. Nothing here writes a secret into an error or a log.
 * Proof: test/s3-credentials.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { type RefreshingOptions, refreshing } from "../http/refreshing.ts";
import { credentialsMissing, processEnvironment } from "../http/surroundings.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** Milliseconds since 1970; without it they hold until they are refused. */
  readonly expiresAtMs?: number | undefined;
}

export interface CredentialsRequest {
  /** Credentials that a server has just refused: do not give them again if there are others. */
  readonly rejected?: S3Credentials | undefined;
}

export interface CredentialsProvider {
  /**
   * Credentials to sign with.
   * @throws {AccessError} `DM_STORE_CREDENTIALS_MISSING` when there are none at this place
   */
  credentials(request?: CredentialsRequest): Promise<S3Credentials>;
}

/** @example staticCredentials({ accessKeyId: "AKIA…", secretAccessKey: "…" }) */
export function staticCredentials(credentials: S3Credentials): CredentialsProvider {
  const own = { ...credentials };
  return {
    async credentials() {
      if (own.accessKeyId === "" || own.secretAccessKey === "") {
        throw credentialsMissing("no access key was given");
      }
      return own;
    },
  };
}

/** `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, read at every question. */
export function environmentCredentials(
  environment: Readonly<Record<string, string | undefined>> = processEnvironment(),
): CredentialsProvider {
  return {
    async credentials() {
      const accessKeyId = environment.AWS_ACCESS_KEY_ID || environment.AWS_ACCESS_KEY || "";
      const secretAccessKey = environment.AWS_SECRET_ACCESS_KEY || environment.AWS_SECRET_KEY || "";
      if (accessKeyId === "" || secretAccessKey === "") {
        throw credentialsMissing("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
      }
      return withToken(accessKeyId, secretAccessKey, environment.AWS_SESSION_TOKEN);
    },
  };
}

/** The first provider that has credentials; each is asked anew every time, so that a later one never sticks. */
export function firstCredentials(
  ...providers: readonly CredentialsProvider[]
): CredentialsProvider {
  return {
    async credentials(request) {
      const reasons: string[] = [];
      for (const provider of providers) {
        try {
          return await provider.credentials(request);
        } catch (error) {
          if (!isDmError(error, "DM_STORE_CREDENTIALS_MISSING")) throw error;
          reasons.push(error.message.replace(/^no credentials: /, ""));
        }
      }
      throw credentialsMissing(reasons.join("; "));
    },
  };
}

/** A provider that keeps what `load` gave as long as it holds; see {@link refreshing}. */
export function refreshingCredentials(
  load: (request: CredentialsRequest) => Promise<S3Credentials>,
  options: RefreshingOptions = {},
): CredentialsProvider {
  const isRefused = (kept: S3Credentials, { rejected }: CredentialsRequest): boolean =>
    rejected !== undefined && sameCredentials(kept, rejected);
  const credentials = refreshing(load, isRefused, options);
  return { credentials: (request = {}) => credentials(request) };
}

/** Whether two credentials are the same for a server. */
export const sameCredentials = (one: S3Credentials, other: S3Credentials): boolean =>
  one.accessKeyId === other.accessKeyId &&
  one.secretAccessKey === other.secretAccessKey &&
  one.sessionToken === other.sessionToken;

/** Credentials without a member for a token that is empty. */
export function withToken(
  accessKeyId: string,
  secretAccessKey: string,
  sessionToken: string | undefined,
): S3Credentials {
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}
