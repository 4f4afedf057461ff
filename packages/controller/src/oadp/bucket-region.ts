/**
 * In which region of AWS a bucket lies, asked without credentials: any answer names it, a refusal too.
 * Proof: test/oadp/bucket-region.test.ts.
 * @module
 */
export type FindBucketRegion = (
  bucket: string,
  signal?: AbortSignal,
) => Promise<string | undefined>;

const timeoutMs = 5_000;

/** Undefined when there is no such bucket, or AWS cannot be reached. */
export const findBucketRegion: FindBucketRegion = (bucket, signal) =>
  askRegion(`https://s3.us-east-1.amazonaws.com/${encodeURIComponent(bucket)}`, signal);

export async function askRegion(url: string, signal?: AbortSignal): Promise<string | undefined> {
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      method: "HEAD",
      redirect: "manual",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    return response.headers.get("x-amz-bucket-region") ?? undefined;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}
