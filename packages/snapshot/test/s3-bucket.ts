/** A repository in a bucket of the test S3 server: clients of it with keys and retries of their own, and what calls cost. */
import {
  createRepository,
  openRepository,
  type Repository,
  type RepositoryOptions,
} from "@dm/repo";
import { type S3StoreOptions, s3Store, staticCredentials } from "@dm/storage/s3";
import { type S3Server, type S3ServerOptions, startS3Server } from "@dm/storage/testing/s3";
import { deriveKey } from "./new-repository.ts";

export const bucketName = "backups";
export const prefix = "velero/kopia/shop/";

/** Requests by operation, and round trips on the critical path where latency was virtual. */
export interface Cost {
  readonly list: number;
  readonly get: number;
  readonly put: number;
  readonly head: number;
  readonly delete: number;
  readonly roundTrips: number;
}

export type BucketStoreOptions = Partial<S3StoreOptions>;

/** The server with a bucket and, in it, a new repository. */
export class S3Bucket implements AsyncDisposable {
  readonly server: S3Server;
  readonly #open: Repository[] = [];

  private constructor(server: S3Server) {
    this.server = server;
  }

  static async start(options: S3ServerOptions = {}): Promise<S3Bucket> {
    const server = await startS3Server({ buckets: [bucketName], ...options });
    const bucket = new S3Bucket(server);
    await createRepository(bucket.store(), { password: "p", deriveKey });
    return bucket;
  }

  store(options: BucketStoreOptions = {}) {
    return s3Store({
      endpoint: this.server.url,
      bucket: bucketName,
      prefix,
      credentials: staticCredentials(this.server.accessKey),
      retries: { firstDelayMs: 1, maxDelayMs: 5 },
      ...options,
    });
  }

  /** One more client, with connections of its own. */
  async open(store: BucketStoreOptions = {}, options: RepositoryOptions = {}): Promise<Repository> {
    const repository = await openRepository(this.store(store), {
      password: "p",
      deriveKey,
      ...options,
    });
    this.#open.push(repository);
    return repository;
  }

  /** Ids of the blobs in the repository. */
  get blobIds(): string[] {
    return this.server.bucket(bucketName).keys.map((key) => key.slice(prefix.length));
  }

  /**
   * What a call costs. Answers are held until nothing has been asked for `quietMs`: the time in which the client must have
   * asked what depends on an answer.
   */
  async cost<Result>(
    quietMs: number,
    run: () => Promise<Result>,
  ): Promise<{ readonly cost: Cost; readonly result: Result }> {
    const { server } = this;
    server.resetCounts();
    server.setLatency({ lockstepQuietMs: quietMs });
    try {
      const result = await run();
      const { counts, rounds } = server;
      const cost = {
        list: counts.ListObjectsV2 + counts.ListObjects + counts.ListObjectVersions,
        get: counts.GetObject,
        put: counts.PutObject,
        head: counts.HeadObject,
        delete: counts.DeleteObject + counts.DeleteObjects,
        roundTrips: rounds,
      };
      const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
      const named = cost.list + cost.get + cost.put + cost.head + cost.delete;
      if (all !== named) throw new Error(`there were other requests: ${JSON.stringify(counts)}`);
      return { cost, result };
    } finally {
      server.setLatency(undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const repository of this.#open) await repository[Symbol.asyncDispose]();
    await this.server.close();
  }
}
