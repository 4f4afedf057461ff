// SFTP over a server in memory: the store contract, also with short reads; connections that break at each kind of request,
// silence, full disks, denied permissions and servers without extensions end in a repetition or in our own words.
import { describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import { statusCode } from "../src/sftp/sftp-messages.ts";
import { SftpSession } from "../src/sftp/sftp-session.ts";
import { sftpTree } from "../src/sftp/sftp-tree.ts";
import { shardedStore } from "../src/sharded-store.ts";
import { testBlobStore } from "../src/testing.ts";
import { type MemoryTree, memoryChannel, memoryTree } from "./sftp-memory-server.ts";

interface Options {
  readonly create?: boolean;
  readonly timeoutMs?: number;
  readonly attempts?: number;
}

function open(server: MemoryTree, options: Options = {}): BlobStore {
  const { attempts = 10, create = true, timeoutMs = 5_000 } = options;
  const tree = sftpTree({
    root: "/backup",
    maxBlobBytes: 1 << 30,
    open: (onClosed) => SftpSession.open(memoryChannel(server), timeoutMs, onClosed),
  });
  return shardedStore(tree, {
    type: "sftp",
    displayName: "SFTP",
    features: { ifAbsent: true, retention: false, setTimestamp: true },
    root: "/backup",
    create,
    listParallelism: 4,
    retries: { attempts, firstDelayMs: 1 },
  });
}

const servers = new WeakMap<BlobStore, MemoryTree>();
for (const maxReadBytes of [1 << 20, 1000]) {
  testBlobStore(
    `SFTP, ${maxReadBytes} bytes in an answer`,
    async () => {
      const server = memoryTree("/");
      server.maxReadBytes = maxReadBytes;
      const store = open(server);
      servers.set(store, server);
      return store;
    },
    { describe, it },
    {
      reopen: async (store) => open(servers.get(store)!, { create: false }),
      timestampPrecisionNs: 1_000_000_000n,
      manyBlobs: 300,
    },
  );
}

const id = "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147";
const data = Uint8Array.from({ length: 200_000 }, (_, index) => index * 7);

async function prepared(options?: Options): Promise<{ server: MemoryTree; store: BlobStore }> {
  const server = memoryTree("/");
  const store = open(server, options);
  await store.put("warm", data);
  server.requests.length = 0;
  return { server, store };
}

/** The first `times` requests of that kind fail. */
function failing(
  server: MemoryTree,
  request: string,
  fault: ReturnType<MemoryTree["fault"]>,
  times = 1,
): () => number {
  let failed = 0;
  server.fault = (seen) => {
    if (seen !== request || failed >= times) return undefined;
    failed += 1;
    return fault;
  };
  return () => failed;
}

const temporaries = (server: MemoryTree): string[] =>
  [...server.files.keys()].filter((path) => path.includes(".tmp."));

it("reads no blob of a server that does not tell its length", async () => {
  const { server, store } = await prepared();
  server.tellsLengths = false;
  await expect(store.get("warm")).rejects.toMatchObject({ code: "DM_STORE_ANSWER_INVALID" });
  expect(await store.get("warm", { offset: 10, length: 10 })).toEqual(data.slice(10, 20));
  await store.close();
});

describe("a connection that breaks", () => {
  it.each(["open", "write", "fsync", "close", "posix-rename"])(
    "in a put at %s, before and after the work, is made again, and nothing is left over",
    async (request) => {
      for (const fault of ["cut", "cut after"] as const) {
        const { server, store } = await prepared();
        await store.put(`${id.slice(0, 4)}0123456789abcdef0123456789abcdef`, data);
        const failed = failing(server, request, fault);
        await store.put(id, data);
        expect(failed()).toBe(1);
        await store.put("next", data);
        expect(await store.get(id)).toEqual(data);
        expect(temporaries(server)).toEqual([]);
        await store.close();
      }
    },
  );

  it.each(["open", "read", "fstat"])("in a get at %s is made again", async (request) => {
    const { server, store } = await prepared();
    const failed = failing(server, request, "cut", 3);
    expect(await store.get("warm")).toEqual(data);
    expect(failed()).toBe(3);
    await store.close();
  });

  it.each(["openDirectory", "readDirectory"])("in a list at %s is made again", async (request) => {
    const { server, store } = await prepared();
    await store.put(id, data);
    const failed = failing(server, request, "cut", 2);
    const found: string[] = [];
    for await (const blob of store.list("")) found.push(blob.id);
    expect(found.sort()).toEqual([id, "warm"]);
    expect(failed()).toBe(2);
    await store.close();
  });

  it("all the time is an error that says so", async () => {
    const { server, store } = await prepared({ attempts: 3 });
    const failed = failing(server, "stat", "cut", Infinity);
    await expect(store.stat("warm")).rejects.toMatchObject({
      name: "StorageError",
      code: "DM_STORE_UNREACHABLE",
      retryable: true,
    });
    expect(failed()).toBe(3);
    await store.close();
  });
});

describe("a server", () => {
  it("that is silent is given up after the timeout", async () => {
    const { server, store } = await prepared({ timeoutMs: 50, attempts: 2 });
    const failed = failing(server, "read", "silence", Infinity);
    await expect(store.get("warm")).rejects.toMatchObject({ code: "DM_STORE_TIMEOUT" });
    expect(failed()).toBeGreaterThan(1);
    server.fault = () => undefined;
    expect(await store.get("warm")).toEqual(data);
    await store.close();
  });

  it.each(["read", "write", "readDirectory"])(
    "that is silent at %s does not hold up an abort",
    async (request) => {
      const { server, store } = await prepared({ timeoutMs: 60_000 });
      failing(server, request, "silence", Infinity);
      const stop = new AbortController();
      const { signal } = stop;
      const reason = new Error("enough");
      const all = async (): Promise<void> => {
        for await (const _ of store.list("", { signal }));
      };
      const runs = {
        read: () => store.get("warm", { signal }),
        write: () => store.put("new", data, { signal }),
        readDirectory: all,
      };
      const running = runs[request as keyof typeof runs]();
      setTimeout(() => stop.abort(reason), 20);
      await expect(running).rejects.toBe(reason);
      await store.close();
    },
  );

  it.each([
    ["open", statusCode.permissionDenied, "AccessError", "DM_STORE_ACCESS_DENIED"],
    ["write", statusCode.permissionDenied, "AccessError", "DM_STORE_ACCESS_DENIED"],
    ["posix-rename", statusCode.permissionDenied, "AccessError", "DM_STORE_ACCESS_DENIED"],
    ["write", 5, "StorageError", "DM_STORE_FAILED"],
  ])(
    "whose %s answers %i is not asked again, and the old bytes stay",
    async (request, status, name, code) => {
      const { server, store } = await prepared();
      const failed = failing(server, request, status, Infinity);
      await expect(store.put("warm", new Uint8Array(5))).rejects.toMatchObject({ name, code });
      expect(failed()).toBe(1);
      server.fault = () => undefined;
      expect(await store.get("warm")).toEqual(data);
      expect(temporaries(server)).toEqual([]);
      await store.close();
    },
  );

  it("whose disk is full is told from one that just failed", async () => {
    const { server, store } = await prepared({ attempts: 3 });
    server.freeBytes = 1000;
    const failed = failing(server, "write", statusCode.failure, Infinity);
    await expect(store.put(id, data)).rejects.toMatchObject({ code: "DM_STORE_NO_SPACE" });
    expect(failed()).toBeLessThan(9);
    expect(temporaries(server)).toEqual([]);
    server.freeBytes = 1 << 30;
    await expect(store.put(id, data)).rejects.toMatchObject({
      code: "DM_STORE_FAILED",
      retryable: true,
    });
    await expect(store.get(id)).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
    await store.close();
  });

  it("without extensions is refused where a put would not be atomic, and read from all the same", async () => {
    const { server, store } = await prepared();
    server.extensions = [];
    const other = open(server, { create: false });
    expect(await other.get("warm")).toEqual(data);
    expect(await other.capacity()).toBeUndefined();
    for (const ifAbsent of [false, true]) {
      await expect(other.put("new", data, { ifAbsent })).rejects.toMatchObject({
        name: "UnsupportedError",
        code: "DM_STORE_OPTION_UNSUPPORTED",
        message: expect.stringContaining(ifAbsent ? "hardlink@openssh.com" : "posix-rename@"),
      });
    }
    expect([...server.files.keys()].sort()).toEqual(["/backup/.shards", "/backup/warm.f"]);
    await Promise.all([store.close(), other.close()]);
  });

  it("syncs each file before it gets its name", async () => {
    const { server, store } = await prepared();
    await store.put("warm", new Uint8Array(10), { timestampNs: 5_000_000_000n });
    expect(server.requests).toEqual([
      "open",
      "write",
      "fsetstat",
      "fsync",
      "close",
      "posix-rename",
    ]);
    expect((await store.stat("warm")).timestampNs).toBe(5_000_000_000n);
    await store.close();
  });

  it("without the root directory has no blobs that could be missing, and it is not made by a put", async () => {
    const server = memoryTree("/");
    const store = open(server, { create: false });
    const all = async (): Promise<void> => {
      for await (const _ of store.list(""));
    };
    for (const run of [
      () => store.get(id),
      () => store.put(id, data),
      () => store.stat("x"),
      all,
    ]) {
      await expect(run()).rejects.toMatchObject({
        name: "NotFoundError",
        code: "DM_STORE_NOT_FOUND",
      });
    }
    expect([...server.directories]).toEqual(["/"]);
    await store.close();
  });
});
