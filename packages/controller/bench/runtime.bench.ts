// What the runtime costs: events per second from a watch to the end of a reconcile, with and without HTTP, keys per second through
// the queue, and the memory of a cache. The first rows leave out the network: their client answers from memory.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  type CacheOptions,
  createCache,
  type KubeClient,
  nodeKubeClient,
  runController,
  source,
  type WatchEvent,
  WorkQueue,
} from "@dm/controller/runtime";
import { type DataUpload, dataUploads, newDataUpload } from "@dm/crds";
import { suite } from "@dm/fixtures/bench";

const objectCount = 10_000;
const eventCount = 20_000;
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function upload(number: number, version: number): DataUpload {
  const made = newDataUpload({
    namespace: "velero",
    backup: { name: `nightly-${number % 50}`, uid: "4eb2286b-d246-464d-83b3-b83f77cd0d1a" },
    backupStorageLocation: "default",
    sourceNamespace: "apps",
    sourcePVC: `data-${number}`,
    sourcePVCUid: "59eed1ec-dab5-482e-bcd5-1f257320b0d6",
    csiSnapshot: { volumeSnapshot: `velero-data-${number}`, storageClass: "fast" },
  });
  const { generateName: _, ...metadata } = made.metadata;
  return {
    ...made,
    metadata: {
      ...metadata,
      name: `nightly-${number}`,
      uid: `uid-${number}`,
      resourceVersion: String(version),
    },
    status: { phase: "InProgress", progress: { bytesDone: version, totalBytes: 1_000_000 } },
  };
}

const listed = Array.from({ length: objectCount }, (_, at) => upload(at, at + 1));
const events = Array.from({ length: eventCount }, (_, at) => ({
  type: "MODIFIED" as const,
  object: upload(at % objectCount, objectCount + at + 1),
}));
const listText = JSON.stringify({
  metadata: { resourceVersion: String(objectCount) },
  items: listed,
});
const eventText = `${events.map((event) => JSON.stringify(event)).join("\n")}\n`;

/** Answers lists and the first watch from memory; objects are made anew each time, as from a network. */
function memoryClient(): KubeClient {
  const no = (): Promise<never> => Promise.reject(new Error("not used"));
  const client: Omit<KubeClient, "list" | "watch"> = {
    get: no,
    create: no,
    replace: no,
    patch: no,
    delete: no,
  };
  return {
    ...client,
    list: async () => {
      const { items } = JSON.parse(listText) as { items: never[] };
      return { items, resourceVersion: String(objectCount) };
    },
    async *watch(_resource, { signal }): AsyncGenerator<WatchEvent<never>> {
      for (const line of eventText.split("\n")) {
        if (line !== "") yield JSON.parse(line) as WatchEvent<never>;
      }
      await new Promise<void>((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        if (signal?.aborted) reject(signal.reason);
      });
    },
  };
}

/** Reads everything, follows all events, and reconciles until the last one has been seen. */
async function follow(client: KubeClient, options: CacheOptions<DataUpload> = {}): Promise<number> {
  const cache = createCache(client, dataUploads, options);
  const stop = new AbortController();
  let reconciles = 0;
  const running = [
    cache.run(stop.signal),
    runController(
      {
        name: "bench",
        concurrency: 4,
        sources: [source(cache)],
        reconcile: async (key) => {
          reconciles += 1;
          const version = Number(cache.get(key)?.metadata.resourceVersion);
          if (version === objectCount + eventCount) stop.abort();
        },
      },
      { signal: stop.signal },
    ),
  ];
  await Promise.all(running);
  return reconciles;
}

async function throughQueue(): Promise<void> {
  const queue = new WorkQueue();
  const worker = async (): Promise<void> => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      queue.forget(key);
      queue.done(key);
    }
  };
  const working = Promise.all([worker(), worker(), worker(), worker()]);
  for (let at = 0; at < eventCount; at += 1) queue.add(`velero/nightly-${at}`);
  queue.shutDown();
  await working;
}

const server = createServer((request, response) => {
  response.writeHead(200, { "content-type": "application/json" });
  if (request.url?.includes("watch=true")) response.write(eventText);
  else response.end(listText);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;
const client = nodeKubeClient({ server: { url: `http://127.0.0.1:${port}` } });

await suite("controller runtime", {}, (measure) => {
  const operations = objectCount + eventCount;
  measure("list, events, cache, queue, reconcile", () => follow(memoryClient()), { operations });
  const unfrozen = { freeze: false };
  measure("the same, objects not frozen", () => follow(memoryClient(), unfrozen), { operations });
  measure("the same over HTTP", () => follow(client), { operations });
  measure("keys through the queue", throughQueue, { operations: eventCount });
});

for (const freeze of [true, false]) {
  const cache = createCache(memoryClient(), dataUploads, { freeze });
  collect();
  const before = process.memoryUsage().heapUsed;
  const stop = new AbortController();
  const running = cache.run(stop.signal);
  await cache.synced();
  stop.abort();
  await running;
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / cache.size;
  const json = Buffer.byteLength(listText) / objectCount;
  console.log(
    `a DataUpload in the cache${freeze ? "" : ", not frozen"}: ${bytes.toFixed(0)} bytes (${json.toFixed(0)} as JSON)`,
  );
}
client.close();
server.closeAllConnections();
server.close();
