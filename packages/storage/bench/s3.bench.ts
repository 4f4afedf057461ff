// What a call to the S3 store costs, by Node's client and by fetch. `DM_S3_ENDPOINT` (a URL), `DM_S3_BUCKET`, AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY name a server; without them our test server runs in a worker of this process. Also prints the
// processor time of the client for each request, which does not depend on how fast the server is.
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { mapConcurrent } from "@dm/core";
import { random, suite } from "@dm/fixtures/bench";
import type { BlobStore } from "@dm/storage";
import {
  environmentCredentials,
  fetchTransport,
  type HttpTransport,
  nodeTransport,
  s3Store,
  staticCredentials,
} from "@dm/storage/s3";
import { startS3Server, testAccessKey } from "@dm/storage/testing/s3";

const small = random({ bytes: 4096, seed: 1 });
const pack = random({ bytes: 20 << 20, seed: 2 });
const indexes = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

async function measureAll(endpoint: string, bucket: string, own: boolean): Promise<void> {
  const credentials = own ? staticCredentials(testAccessKey) : environmentCredentials();
  const open = (transport: HttpTransport | undefined): BlobStore =>
    s3Store({ endpoint, bucket, prefix: "bench/", credentials, storageClasses: [], transport });
  const stores: Array<[string, BlobStore]> = [
    ["node:http", open(nodeTransport())],
    ["fetch", open(fetchTransport())],
  ];
  const many =
    (count: number, at: number, run: (index: number) => Promise<unknown>) => async () => {
      await mapConcurrent(indexes(count), run, { concurrency: at });
    };
  const [, first] = stores[0] ?? [];
  await many(1000, 16, (index) => first?.put(`l${index}`, small) ?? Promise.resolve())();
  await first?.put("pack0", pack);

  await suite("s3", {}, async (measure) => {
    for (const [name, store] of stores) {
      const at = { operations: 400 };
      measure(
        `${name} put 4 KiB, 16 at once`,
        many(400, 16, (i) => store.put(`s${i}`, small)),
        at,
      );
      const part = (i: number): Promise<unknown> =>
        store.get("pack0", { offset: i * 4096, length: 4096 });
      measure(`${name} get 4 KiB of 20 MiB, 16 at once`, many(400, 16, part), at);
      const bytes = 8 * pack.length;
      measure(
        `${name} put 20 MiB, 4 at once`,
        many(8, 4, (i) => store.put(`pack${i}`, pack)),
        { bytes },
      );
      measure(
        `${name} get 20 MiB, 4 at once`,
        many(8, 4, () => store.get("pack0")),
        { bytes },
      );
      const list = async (): Promise<void> => {
        let found = 0;
        for await (const _ of store.list("l")) found += 1;
        if (found !== 1000) throw new Error(`${found} blobs were listed`);
      };
      measure(`${name} list of 1,000`, list, { operations: 1000 });
    }
  });
  for (const [name, store] of stores) {
    await many(200, 16, (i) => store.get("pack0", { offset: i, length: 4096 }))();
    const before = process.threadCpuUsage();
    await many(2000, 16, (i) => store.get("pack0", { offset: i, length: 4096 }))();
    const { system, user } = process.threadCpuUsage(before);
    console.log(
      `${name}: ${((user + system) / 2000).toFixed(0)} µs of the main thread for a small get`,
    );
  }
  for (const [, store] of stores) await store.close();
}

if (!isMainThread) {
  const server = await startS3Server({ buckets: ["bench"] });
  parentPort?.postMessage(server.url);
} else {
  const given = process.env["DM_S3_ENDPOINT"];
  if (given) await measureAll(given, process.env["DM_S3_BUCKET"] ?? "bench", false);
  else {
    const worker = new Worker(new URL(import.meta.url));
    const url = await new Promise<string>((resolve) => worker.once("message", resolve));
    await measureAll(url, "bench", true);
    await worker.terminate();
  }
}
