/**
 * Credentials, and where they come from. Providers are asked before every request and keep what they know; they are
 * told when a server refuses, and then read again. Nothing here writes a secret into an error or a log.
 * Proof: test/s3-credentials.test.ts.
 * @module
 */
import { type Clock, isDmError, nsPerMs, systemClock } from "@dm/core";
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

/** New ones are fetched this long before the old ones expire. */
const refreshBeforeMs = 5 * 60_000;
/** After a renewal that failed, while the old ones hold: requests shall not wait for a service that is away. */
const renewAgainMs = 30_000;

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

export interface RefreshingOptions {
  readonly clock?: Clock | undefined;
}

/**
 * Keeps what `load` gave until shortly before it expires, or until a server refuses it; questions that come together
 * cause one loading. When a renewal fails, the old ones are used as long as they hold.
 */
export function refreshingCredentials(
  load: (request: CredentialsRequest) => Promise<S3Credentials>,
  options: RefreshingOptions = {},
): CredentialsProvider {
  const { clock = systemClock } = options;
  let current: S3Credentials | undefined;
  let loading: Promise<S3Credentials> | undefined;
  let restUntilMs = Number.NEGATIVE_INFINITY;
  const nowMs = (): number => Number(clock.nowNs() / nsPerMs);
  const leftMs = (): number => (current?.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs();
  const isFresh = (): boolean =>
    leftMs() > refreshBeforeMs || (leftMs() > 0 && nowMs() < restUntilMs);
  return {
    async credentials({ rejected } = {}) {
      const refused = current && rejected && sameCredentials(current, rejected);
      if (current && !refused && isFresh()) return current;
      loading ??= load({ rejected }).finally(() => {
        loading = undefined;
      });
      try {
        current = await loading;
      } catch (error) {
        if (!current || refused || leftMs() <= 0) throw error;
        restUntilMs = nowMs() + renewAgainMs;
      }
      return current;
    },
  };
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
