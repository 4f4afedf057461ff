// Child of repo.bench.ts: opens a repository whose index names a million contents, in a process of its own, so that its
// memory is that of an opened repository and nothing else. Prints JSON.
import { openRepository, parseContentId } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";

const [directory, password, idsHex] = process.argv.slice(2) as [string, string, string];
const collect = globalThis.gc as () => void;

interface Memory {
  readonly heap: number;
  readonly buffers: number;
  readonly rss: number;
}

async function memory(): Promise<Memory> {
  // Twice, with a turn between: what a settled promise still held is free only then.
  collect();
  await new Promise((resolve) => setTimeout(resolve, 20));
  collect();
  const { arrayBuffers, heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, buffers: arrayBuffers, rss };
}

const repository = await openRepository(filesystemStore({ path: directory }), {
  password,
  readOnly: true,
});
const before = await memory();
const startedMs = performance.now();
await repository.refresh();
const loadMs = performance.now() - startedMs;
const loaded = await memory();

const ids = Array.from({ length: idsHex.length / 32 }, (_, index) =>
  parseContentId(idsHex.slice(index * 32, index * 32 + 32)),
);
let lookupUs = Number.POSITIVE_INFINITY;
let found = 0;
for (let round = 0; round < 200; round++) {
  const roundMs = performance.now();
  for (const id of ids) if (await repository.contentInfo(id)) found += 1;
  lookupUs = Math.min(lookupUs, ((performance.now() - roundMs) * 1000) / ids.length);
}
const listMs = performance.now();
let listed = 0;
for await (const entry of repository.listContents()) listed += entry.packedLength > 0 ? 1 : 0;
const after = await memory();
console.log(
  JSON.stringify({
    loadMs,
    lookupUs,
    listMs: performance.now() - listMs,
    found: found / 200,
    listed,
    heapBytes: loaded.heap - before.heap,
    bufferBytes: loaded.buffers - before.buffers,
    rssBytes: loaded.rss - before.rss,
    heapAfterBytes: after.heap - before.heap,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  }),
);
