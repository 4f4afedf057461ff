/**
 * Access tokens (OAuth 2.0 bearer tokens), and the keeping of them. Nothing here writes one into an error or a log.
 * Proof: test/azure-credentials.test.ts, test/gcs-credentials.test.ts.
 * @module
 */
import type { Authorizer } from "./api-client.ts";
import { type RefreshingOptions, refreshing } from "./refreshing.ts";

export interface AccessToken {
  readonly token: string;
  /** Milliseconds since 1970; without it the token holds until it is refused. */
  readonly expiresAtMs?: number | undefined;
}

export interface TokenProvider {
  /** A token; with `rejected`, the one that a server has just refused, another one if there is one. */
  token(request?: { readonly rejected?: string | undefined }): Promise<AccessToken>;
  /** Who signs, and how, where the credentials are a private key; undefined where they are something else. */
  signer?(): Promise<Signer | undefined>;
}

export interface Signer {
  /** The name under which the key is known. */
  readonly email: string;
  /** RSA-SHA256 of the text. */
  sign(text: string): Promise<Uint8Array>;
}

/** A provider that keeps what `load` gave as long as it holds; see {@link refreshing}. */
export function refreshingToken(
  load: (request: { readonly rejected?: string | undefined }) => Promise<AccessToken>,
  options: RefreshingOptions = {},
): TokenProvider {
  const isRefused = ({ token }: AccessToken, request: { rejected?: string | undefined }): boolean =>
    token === request.rejected;
  const token = refreshing(load, isRefused, options);
  return { token: (request = {}) => token(request) };
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
