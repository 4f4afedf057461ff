/**
 * The store contract over S3 in a page: the bucket is on another origin, so that every request passes CORS, and leaves through
 * `fetch`.
 */
import { type S3StoreOptions, s3Store, staticCredentials } from "@dm/storage/s3";
import { testBlobStore } from "@dm/storage/testing";
import { type Outcome, Report, type Source } from "./outcome.ts";

export async function check(source: Source): Promise<Outcome> {
  const report = new Report();
  const { endpoint, ...keys } = await source.json("/s3/connection");
  let opened = 0;
  const open = (options: Partial<S3StoreOptions> = {}) =>
    s3Store({
      endpoint,
      bucket: "page",
      prefix: `run${opened++}/`,
      credentials: staticCredentials(keys),
      conditionalPuts: true,
      objectLock: false,
      retries: { attempts: 2, firstDelayMs: 1 },
      ...options,
    });

  const tests: Array<readonly [title: string, body: () => Promise<void>]> = [];
  const runner = {
    describe: (_name: string, body: () => void) => body(),
    it: (title: string, body: () => Promise<void>) => tests.push([title, body]),
  };
  const precision = { timestampPrecisionNs: 1_000_000_000n, manyBlobs: 20 };
  testBlobStore("S3 in a page", async () => open(), runner, precision);
  for (const [title, body] of tests) {
    let result: unknown = "passed";
    await body().catch((error: unknown) => {
      result = error;
    });
    report.equal(result, "passed", title);
  }

  const refused = await open({ credentials: staticCredentials({ ...keys, secretAccessKey: "no" }) })
    .get("x")
    .catch((error: { code?: unknown }) => error.code);
  report.equal(refused, "DM_STORE_CREDENTIALS_INVALID", "a wrong secret");
  const closed = await open({ bucket: "elsewhere", endpoint: "http://127.0.0.1:9" })
    .get("x")
    .catch((error: { code?: unknown }) => error.code);
  report.equal(closed, "DM_STORE_UNREACHABLE", "nobody there");
  return report.outcome;
}
