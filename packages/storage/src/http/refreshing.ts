/**
 * What a server gives for a time (tokens, keys), kept until shortly before it ends.
 * Proof: test/azure-credentials.test.ts, test/s3-credentials.test.ts.
 * @module
 */
import { type Clock, nsPerMs, systemClock } from "@dm/core";

/** New ones are fetched this long before the old ones expire. */
const refreshBeforeMs = 5 * 60_000;
/** After a renewal that failed, while the old one holds: requests shall not wait for a service that is away. */
const renewAgainMs = 30_000;

export interface RefreshingOptions {
  readonly clock?: Clock | undefined;
}

/**
 * Keeps what `load` gave until shortly before it expires, or until a server refuses it; questions that come together cause
 * one loading. When a renewal fails, the old one is used as long as it holds.
 * @param isRefused whether the request tells of this very one that it was refused
 */
export function refreshing<
  Kept extends { readonly expiresAtMs?: number | undefined },
  Request = void,
>(
  load: (request: Request) => Promise<Kept>,
  isRefused: (kept: Kept, request: Request) => boolean,
  { clock = systemClock }: RefreshingOptions = {},
): (request: Request) => Promise<Kept> {
  let current: Kept | undefined;
  let loading: Promise<Kept> | undefined;
  let restUntilMs = Number.NEGATIVE_INFINITY;
  const nowMs = (): number => Number(clock.nowNs() / nsPerMs);
  const leftMs = (): number => (current?.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs();
  const isFresh = (): boolean =>
    leftMs() > refreshBeforeMs || (leftMs() > 0 && nowMs() < restUntilMs);
  return async (request) => {
    const refused = current !== undefined && isRefused(current, request);
    if (current && !refused && isFresh()) return current;
    loading ??= load(request).finally(() => {
      loading = undefined;
    });
    try {
      current = await loading;
    } catch (error) {
      if (!current || refused || leftMs() <= 0) throw error;
      restUntilMs = nowMs() + renewAgainMs;
    }
    return current;
  };
}
