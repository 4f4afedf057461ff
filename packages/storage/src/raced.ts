/**
 * Waiting that ends with a signal, for work that is shared or has to tidy up and so cannot end with it.
 * Proof: test/s3-faults.test.ts, test/api-client.test.ts, test/sftp-faults.test.ts, test/webdav-faults.test.ts.
 * @module
 */

/** Rejects at once on abort; the work goes on to tidy up. */
export function raced<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const settle = (): void => signal.removeEventListener("abort", onAbort);
    work.then(
      (result) => {
        settle();
        resolve(result);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}
