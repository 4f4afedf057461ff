/**
 * Access tokens (OAuth 2.0 bearer tokens), and the keeping of them. Nothing here writes one into an error or a log.
 * Proof: test/azure-credentials.test.ts, test/gcs-credentials.test.ts.
 * @module
 */
import { type Clock, nsPerMs, systemClock } from "@dm/core";
import type { Authorizer } from "./api-client.ts";

export interface AccessToken {
  readonly token: string;
  /** Milliseconds since 1970; without it the token holds until it is refused. */
  readonly expiresAtMs?: number | undefined;
}

export interface TokenProvider {
  /** A token; with `rejected`, the one that a server has just refused, another one if there is one. */
  token(request?: { readonly rejected?: string | undefined }): Promise<AccessToken>;
}

/** New ones are fetched this long before the old ones expire. */
const refreshBeforeMs = 5 * 60_000;
/** After a renewal that failed, while the old one holds: requests shall not wait for a service that is away. */
const renewAgainMs = 30_000;

/**
 * Keeps what `load` gave until shortly before it expires, or until a server refuses it; questions that come together
 * cause one loading. When a renewal fails, the old token is used as long as it holds.
 */
export function refreshingToken(
  load: (request: { readonly rejected: string | undefined }) => Promise<AccessToken>,
  options: { readonly clock?: Clock | undefined } = {},
): TokenProvider {
  const { clock = systemClock } = options;
  let current: AccessToken | undefined;
  let loading: Promise<AccessToken> | undefined;
  let restUntilMs = Number.NEGATIVE_INFINITY;
  const nowMs = (): number => Number(clock.nowNs() / nsPerMs);
  const leftMs = (): number => (current?.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs();
  const isFresh = (): boolean =>
    leftMs() > refreshBeforeMs || (leftMs() > 0 && nowMs() < restUntilMs);
  return {
    async token({ rejected } = {}) {
      const refused = current !== undefined && current.token === rejected;
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

/** Puts the token of `provider` into every request. */
export function bearerAuthorizer(provider: TokenProvider): Authorizer {
  return {
    async authorize({ headers, url }, { rejected }) {
      const { token } = await provider.token({ rejected });
      return { url, headers: { ...headers, authorization: `Bearer ${token}` }, proof: token };
    },
  };
}
