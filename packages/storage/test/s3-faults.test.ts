// Whatever a network, a balancer or a bucket does wrong ends in a transparent repetition or in an error that says what to
// do, and nothing is lost. Most faults come from our test server; answers that no S3 server gives from a scripted one.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import type { LogFields, Logger } from "@dm/core";
import { afterEach, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import {
  type CredentialsProvider,
  fetchTransport,
  type S3Credentials,
  type S3StoreOptions,
  s3Store,
  staticCredentials,
} from "../src/s3.ts";
import {
  faultOn,
  type S3Server,
  type S3ServerOptions,
  seededS3Faults,
  slowDown,
  startS3Server,
  testAccessKey,
} from "../src/testing/s3.ts";

const cleanups: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(options: S3ServerOptions = {}): Promise<S3Server> {
  const server = await startS3Server({ buckets: ["blobs"], ...options });
  cleanups.push(() => server.close());
  return server;
}

function open(endpoint: string, options: Partial<S3StoreOptions> = {}): BlobStore {
  const store = s3Store({
    endpoint,
    bucket: "blobs",
    prefix: "k/",
    credentials: staticCredentials(testAccessKey),
    storageClasses: [],
    retries: { firstDelayMs: 1, maxDelayMs: 5 },
    ...options,
  });
  cleanups.push(() => store.close());
  return store;
}

/** A server that answers every request in the same way. */
async function scripted(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = [];
  const server: Server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    request.resume();
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index * 7);
const failure = async (promise: Promise<unknown>): Promise<Error & { code: string }> =>
  (await promise.then(
    () => new Error("it succeeded"),
    (error: unknown) => error,
  )) as Error & { code: string };
async function ids(store: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list("")) found.push(id);
  return found;
}

const transports = [
  ["Node's client", {}],
  ["fetch", { transport: fetchTransport() }],
] as const;

describe.each(transports)("what passes is repeated, through %s", (_name, transport) => {
  const data = bytes(300_000);

  it.each([
    ["503 SlowDown", { answer: slowDown }],
    ["500 without a document", { answer: { status: 500, body: "<html>oops</html>" } }],
    ["502 from a balancer", { answer: { status: 502, body: "Bad Gateway" } }],
    ["429", { answer: { status: 429, code: "TooManyRequests" } }],
    ["RequestTimeout", { answer: { status: 400, code: "RequestTimeout" } }],
    ["a reset before the work", { reset: "before" }],
    ["a reset after it", { reset: "after" }],
  ] as const)("%s", async (_fault, fault) => {
    const server = await serve();
    const store = open(server.url, transport);
    server.inject(faultOn({ operations: ["PutObject"], times: 2 }, fault));
    server.inject(faultOn({ operations: ["GetObject"], times: 2 }, fault));
    server.inject(faultOn({ operations: ["HeadObject"], times: 2 }, fault));
    server.inject(faultOn({ operations: ["ListObjectsV2"], times: 2 }, fault));
    server.inject(faultOn({ operations: ["DeleteObject"], times: 2 }, fault));
    await store.put("p1", data);
    expect(await store.get("p1")).toEqual(data);
    expect((await store.stat("p1")).length).toBe(data.length);
    expect(await ids(store)).toEqual(["p1"]);
    await store.delete("p1");
    expect(server.bucket("blobs").keys).toEqual([]);
  });

  it.each([
    ["cut in the middle", { resetAfterSentBytes: 100_000 }, [{}, { offset: 10, length: 200_000 }]],
    ["announced longer", { announceBytes: 400_000 }, [{}]],
    ["shortened without a trace", { shortenToBytes: 1000 }, [{ offset: 10, length: 200_000 }]],
    ["shortened to nothing", { shortenToBytes: 0 }, [{ offset: 10, length: 200_000 }]],
  ] as const)("a body that is %s", async (_fault, fault, ranges) => {
    const server = await serve();
    const store = open(server.url, transport);
    await store.put("p1", data);
    for (const range of ranges) {
      const stop = server.inject(faultOn({ operations: ["GetObject"], times: 2 }, fault));
      const { offset, length } = { offset: 0, length: data.length, ...range };
      expect(await store.get("p1", range)).toEqual(data.slice(offset, offset + length));
      stop();
    }
    expect(server.counts.GetObject).toBe(3 * ranges.length);
  });

  it("a list page that is cut, or no XML, or empty, or of another prefix", async () => {
    const server = await serve();
    const store = open(server.url, transport);
    for (const id of ["a", "b", "c"]) await store.put(id, data.subarray(0, 10));
    const other =
      "<ListBucketResult><Contents><Key>elsewhere</Key><Size>1</Size>" +
      "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>";
    for (const fault of [
      { shortenToBytes: 200 },
      { answer: { status: 200, body: "" } },
      { answer: { status: 200, body: "<ListBucketResult><Contents>" } },
      { answer: { status: 200, body: other } },
      { answer: { status: 200, code: "InternalError" } },
    ]) {
      const stop = server.inject(faultOn({ operations: ["ListObjectsV2"], times: 1 }, fault));
      expect(await ids(store)).toEqual(["a", "b", "c"]);
      stop();
    }
  });

  it("an empty answer to a put or a get, as if all were well", async () => {
    const server = await serve();
    const store = open(server.url, transport);
    const empty = { answer: { status: 200, body: "" } };
    for (const operation of ["PutObject", "GetObject"] as const) {
      const stop = server.inject(faultOn({ operations: [operation], times: 2 }, empty));
      await store.put("p1", data);
      expect(await store.get("p1")).toEqual(data);
      expect(await store.get("p1", { offset: 5, length: 10 })).toEqual(data.slice(5, 15));
      stop();
    }
  });

  it("a storm of all of it, and nothing is lost", async () => {
    const server = await serve();
    const store = open(server.url, {
      ...transport,
      retries: { attempts: 15, firstDelayMs: 1, maxDelayMs: 3 },
    });
    const seed = Number(process.env.DM_SEED ?? 7);
    server.inject(seededS3Faults({ seed, probability: 0.3 }));
    const wanted = new Map<string, Uint8Array>();
    for (let index = 0; index < 30; index++) {
      const id = `p${index % 20}`;
      await store.put(id, data.subarray(index, index + 1000));
      wanted.set(id, data.slice(index, index + 1000));
      if (index % 7 === 0) {
        await store.delete(id);
        wanted.delete(id);
      }
    }
    expect(await ids(store), `seed ${seed}`).toEqual([...wanted.keys()].sort());
    for (const [id, expected] of wanted) expect(await store.get(id)).toEqual(expected);
  });

  it("a server that is silent, or trickles, is given up in time", async () => {
    const server = await serve();
    const store = open(server.url, {
      ...transport,
      timeoutMs: 400,
      retries: { attempts: 2, firstDelayMs: 1 },
    });
    await open(server.url, transport).put("p1", data.subarray(0, 3000));
    server.inject(faultOn({ operations: ["HeadObject"] }, { delayMs: 1500 }));
    expect((await failure(store.stat("p1"))).code).toBe("DM_STORE_TIMEOUT");
    // 3,000 bytes have 400 ms and what they need at 64 KiB/s; they come, but take three seconds.
    server.inject(faultOn({ operations: ["GetObject"], times: 1 }, { bytesPerSecond: 1000 }));
    expect(await store.get("p1")).toEqual(data.slice(0, 3000));
    expect(server.counts.GetObject).toBe(2);
  });

  it("an abort ends waiting for a server at once, with its reason", async () => {
    const server = await serve();
    const store = open(server.url, transport);
    server.inject(faultOn({ operations: ["GetObject", "PutObject"] }, { delayMs: 700 }));
    const reason = new Error("enough");
    const start = performance.now();
    for (const run of [
      (signal: AbortSignal) => store.get("p1", { signal }),
      (signal: AbortSignal) => store.put("p1", data, { signal }),
    ]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(reason), 30);
      expect(await failure(run(stop.signal))).toBe(reason);
    }
    expect(performance.now() - start).toBeLessThan(3_000);
  });
});

describe("what does not pass says what to do", () => {
  it.each([
    ["a wrong secret", { secretAccessKey: "wrong" }, "DM_STORE_CREDENTIALS_INVALID", "secret"],
    ["an unknown key", { accessKeyId: "NOBODY" }, "DM_STORE_CREDENTIALS_INVALID", "access key id"],
  ])("%s", async (_name, change, code, hint) => {
    const server = await serve();
    const credentials = staticCredentials({ ...testAccessKey, ...change });
    const store = open(server.url, { credentials });
    for (const run of [
      () => store.get("p1"),
      () => store.stat("p1"),
      () => store.put("p1", bytes(1)),
      () => store.delete("p1"),
      () => ids(store),
    ]) {
      const error = await failure(run());
      expect(error).toMatchObject({ code, name: "AccessError" });
      expect(error.message).toContain(hint);
    }
  });

  it("a bucket that is not there, in every operation, and never as a blob that is missing", async () => {
    const server = await serve();
    const store = open(server.url, { bucket: "nowhere" });
    for (const run of [
      () => store.get("p1"),
      () => store.get("p1", { length: 0 }),
      () => store.stat("p1"),
      () => store.put("p1", bytes(1)),
      () => store.delete("p1"),
      () => ids(store),
    ]) {
      expect(await failure(run())).toMatchObject({ code: "DM_STORE_NOT_FOUND" });
    }
  });

  it("no permission names what is missing", async () => {
    const poor = { accessKeyId: "POOR", secretAccessKey: "poor", permissions: [] };
    const server = await serve({ accessKeys: [poor] });
    const store = open(server.url, { credentials: staticCredentials(poor) });
    expect((await failure(store.get("a"))).message).toContain("s3:GetObject");
    expect((await failure(store.stat("a"))).message).toContain("s3:GetObject");
    expect((await failure(ids(store))).message).toContain("s3:ListBucket");
    expect((await failure(store.delete("a"))).code).toBe("DM_STORE_ACCESS_DENIED");
  });

  it.each([
    ["a web page in place of an answer", 200, "<!DOCTYPE html><html><body>Log in</body></html>"],
    ["a web page that says 404", 404, "<html><title>404</title></html>"],
    ["a web page that says 403", 403, "<html><title>Forbidden</title></html>"],
  ])("%s", async (_name, status, page) => {
    const server = await scripted((_request, response) => {
      response.writeHead(status, { "content-type": "text/html" }).end(page);
    });
    const store = open(server.url);
    for (const run of [() => ids(store), ...(status === 200 ? [] : [() => store.get("p1")])]) {
      const error = await failure(run());
      expect(error).toMatchObject({ code: "DM_STORE_ANSWER_INVALID", retryable: false });
      expect(error.message).toContain("web page");
    }
    expect(server.requests.length).toBe(status === 200 ? 1 : 2);
  });

  it("a put that was answered without an ETag is believed when its bytes are there, and not for an old blob's length", async () => {
    const server = await serve();
    const store = open(server.url);
    await store.put("p1", bytes(5));
    server.inject(faultOn({ operations: ["PutObject"] }, { answer: { status: 200, body: "" } }));
    await store.put("p1", bytes(5));
    const error = await failure(store.put("p1", bytes(5).reverse()));
    expect(error).toMatchObject({ code: "DM_STORE_ANSWER_INVALID" });
    expect(await store.get("p1")).toEqual(bytes(5));
  });

  it("a web page in place of the answer to a put stores nothing, and to a get is no blob", async () => {
    const server = await serve();
    const store = open(server.url);
    await store.put("p1", bytes(5000));
    const page = "<!DOCTYPE html><html><body>Log in</body></html>".padEnd(5000, " ");
    const headers = { "content-type": "text/html", etag: '"page"' };
    server.inject(
      faultOn({ operations: ["GetObject"] }, { answer: { status: 200, body: page, headers } }),
    );
    const answer = { status: 200, body: page };
    server.inject(faultOn({ operations: ["PutObject"] }, { answer }));
    for (const run of [
      () => store.put("p2", bytes(5)),
      () => store.get("p1"),
      () => store.get("p1", { offset: 10, length: 20 }),
    ]) {
      const error = await failure(run());
      expect(error).toMatchObject({ code: "DM_STORE_ANSWER_INVALID", retryable: false });
      expect(error.message).toContain("web page");
    }
    expect(server.bucket("blobs").keys).toEqual(["k/p1"]);
  });

  it("a 404 without a word is no missing blob: a repository is not declared absent", async () => {
    const server = await scripted((_request, response) => {
      response.writeHead(404).end();
    });
    const store = open(server.url, { retries: { attempts: 2, firstDelayMs: 1 } });
    expect((await failure(store.get("p1"))).code).toBe("DM_STORE_ANSWER_INVALID");
    expect((await failure(store.stat("p1"))).code).toBe("DM_STORE_ANSWER_INVALID");
  });

  it("an answer that is longer than it may be is not read to its end", async () => {
    const server = await scripted((_request, response) => {
      response.writeHead(206, { "content-range": "bytes 0-9/10" });
      const pour = (): void => {
        while (response.write(Buffer.alloc(1 << 16)));
      };
      response.on("drain", pour);
      pour();
    });
    const store = open(server.url);
    expect((await failure(store.get("p1", { length: 10 }))).code).toBe("DM_STORE_ANSWER_INVALID");
    expect(server.requests.length).toBe(1);
  });

  it("a redirect without a region, and a server that speaks something else", async () => {
    const moved = await scripted((_request, response) => {
      response.writeHead(301, { location: "https://new.example.com/" }).end("<html>moved</html>");
    });
    expect((await failure(open(moved.url).get("x"))).message).toContain("new.example.com");
    const wantsTls = await scripted((_request, response) => {
      response.writeHead(400).end("Client sent an HTTP request to an HTTPS server.\n");
    });
    expect((await failure(open(wantsTls.url).get("x"))).message).toContain("TLS");
    const tls = open(wantsTls.url.replace("http:", "https:"));
    expect(await failure(tls.get("x"))).toMatchObject({ code: "DM_STORE_UNREACHABLE" });
  });

  it("nobody there, and a host that does not exist", async () => {
    const probe = createTcpServer();
    await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    const retries = { attempts: 2, firstDelayMs: 1 };
    for (const [, transport] of transports) {
      const refused = await failure(
        open(`http://127.0.0.1:${port}`, { ...transport, retries }).get("x"),
      );
      expect(refused).toMatchObject({ code: "DM_STORE_UNREACHABLE", retryable: true });
      expect(refused.message).toContain("ECONNREFUSED");
    }
  });

  it("a server that does not know ranges gives the right bytes or an error", async () => {
    const server = await scripted((_request, response) => {
      response.writeHead(200, { "content-length": 5 }).end("01234");
    });
    const store = open(server.url);
    const got = await store.get("x", { offset: 1, length: 4 });
    expect(new TextDecoder().decode(got)).toBe("1234");
    expect((await failure(store.get("x", { offset: 3, length: 4 }))).code).toBe(
      "DM_BLOB_RANGE_INVALID",
    );
  });
});

describe("credentials that end in the middle", () => {
  function rotating(all: readonly S3Credentials[]): CredentialsProvider & { reads: number } {
    let index = 0;
    return {
      reads: 0,
      async credentials({ rejected } = {}) {
        if (rejected) {
          this.reads += 1;
          if (rejected.accessKeyId === all[index]?.accessKeyId)
            index = Math.min(index + 1, all.length - 1);
        }
        return all[index]!;
      },
    };
  }
  const session = (name: string, expiresAtMs?: number): S3Credentials => ({
    accessKeyId: name,
    secretAccessKey: `secret-${name}`,
    sessionToken: `token-${name}`,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  });

  it("are read again, and the transfer goes on without being repeated by the caller", async () => {
    const [first, second] = [session("ONE"), session("TWO")];
    const server = await serve({ accessKeys: [first, second] });
    const credentials = rotating([first, second]);
    const store = open(server.url, { credentials, retries: { attempts: 1 } });
    for (let index = 0; index < 4; index++) await store.put(`p${index}`, bytes(1000));
    server.setAccessKey({ ...first, expiresAtMs: Date.now() - 1000 });
    await Promise.all(Array.from({ length: 8 }, (_, index) => store.put(`q${index}`, bytes(1000))));
    expect(await store.get("p3", { offset: 1, length: 9 })).toEqual(bytes(1000).slice(1, 10));
    expect((await ids(store)).length).toBe(12);
  });

  it("and are all used up: the error says so, and holds no secret", async () => {
    const only = session("ONLY");
    const server = await serve({ accessKeys: [{ ...only, expiresAtMs: Date.now() - 1000 }] });
    const logged: string[] = [];
    const log = (message: string, fields?: LogFields): void => {
      logged.push(message + JSON.stringify(fields));
    };
    const logger: Logger = { debug: log, info: log, warn: log, error: log };
    const store = open(server.url, { credentials: rotating([only]), logger });
    for (const run of [() => store.get("x"), () => store.stat("x"), () => ids(store)]) {
      const error = await failure(run());
      expect(error).toMatchObject({ code: "DM_STORE_CREDENTIALS_EXPIRED", name: "AccessError" });
      const shown = `${error.stack}${JSON.stringify(error)}${logged.join()}${store.displayName}`;
      expect(shown).not.toMatch(/secret-ONLY|token-ONLY|AWS4-HMAC/);
    }
  });
});

describe("what a server teaches", () => {
  it("its clock: a wrong one here is corrected, also for retention", async () => {
    const server = await serve({ buckets: [{ name: "blobs", objectLock: true }] });
    for (const offsetMs of [3_600_000, -7_200_000]) {
      server.clockOffsetMs = offsetMs;
      const store = open(server.url, { retries: { attempts: 1 } });
      const retention = { mode: "GOVERNANCE", periodMs: 600_000 } as const;
      await store.put("p1", bytes(5), { retention });
      const { retention: kept } = server.bucket("blobs").versions("k/p1")[0] ?? {};
      const wantedMs = Date.now() + offsetMs + 600_000;
      expect(Math.abs((kept?.untilMs ?? 0) - wantedMs)).toBeLessThan(5_000);
      server.resetCounts();
      await store.get("p1");
      expect(server.counts.GetObject).toBe(1);
    }
  });

  it("its clock: once for all requests that are under way together", async () => {
    const server = await serve();
    server.clockOffsetMs = 3_600_000;
    const store = open(server.url, { retries: { attempts: 1 } });
    // All are refused before the first has taught anything.
    server.inject(faultOn({ operations: ["PutObject"], times: 8 }, { delayMs: 100 }));
    await Promise.all(Array.from({ length: 8 }, (_, index) => store.put(`p${index}`, bytes(5))));
    expect(server.bucket("blobs").keys).toHaveLength(8);
  });

  it("its region, also where the blob is empty and the refusal came without a word", async () => {
    const server = await serve({ region: "eu-central-1" });
    await open(server.url).put("p1", bytes(0));
    const store = open(server.url, { region: "us-west-2", retries: { attempts: 1 } });
    expect(await store.stat("p1")).toMatchObject({ id: "p1", length: 0 });
  });

  it("its region: by the error of a signature for another one", async () => {
    const server = await serve({ region: "eu-central-1" });
    for (const run of [
      (store: BlobStore) => store.put("p1", bytes(5)),
      (store: BlobStore) => store.stat("p1"),
      (store: BlobStore) => store.get("p1"),
      (store: BlobStore) => ids(store),
      (store: BlobStore) => store.delete("p1"),
    ]) {
      await run(open(server.url, { retries: { attempts: 1 } }));
    }
    server.resetCounts();
    await open(server.url, { region: "eu-central-1" }).put("p1", bytes(5));
    expect(server.counts.PutObject).toBe(1);
  });

  it("another host: that of a region is asked there, by one question", async () => {
    const requests: string[] = [];
    const store = open("s3.amazonaws.com", {
      retries: { attempts: 1 },
      transport: {
        async send({ method, url }) {
          requests.push(`${method} ${url}`);
          const there = new URL(url).host === "blobs.s3.ap-south-1.amazonaws.com";
          return {
            status: there ? 200 : 301,
            header: (name) => (name === "x-amz-bucket-region" && !there ? "ap-south-1" : undefined),
            body: new Uint8Array(there ? 3 : 0),
          };
        },
        async close() {},
      },
    });
    expect((await store.get("x")).length).toBe(3);
    await store.get("y");
    expect(requests).toEqual([
      "GET https://blobs.s3.amazonaws.com/k/x",
      "GET https://blobs.s3.ap-south-1.amazonaws.com/k/x",
      "GET https://blobs.s3.ap-south-1.amazonaws.com/k/y",
    ]);
  });

  it("another host of the region that was given, for a bucket whose name fits into no host", async () => {
    const hosts: string[] = [];
    const store = open("s3.amazonaws.com", {
      bucket: "with.dots",
      region: "eu-west-1",
      retries: { attempts: 1 },
      transport: {
        async send({ url }) {
          const { host, pathname } = new URL(url);
          hosts.push(`${host}${pathname}`);
          const there = host === "s3.eu-west-1.amazonaws.com";
          return {
            status: there ? 200 : 301,
            header: (name) => (name === "x-amz-bucket-region" && !there ? "eu-west-1" : undefined),
            body: new Uint8Array(there ? 3 : 0),
          };
        },
        async close() {},
      },
    });
    expect((await store.get("x")).length).toBe(3);
    expect(hosts).toEqual([
      "s3.amazonaws.com/with.dots/k/x",
      "s3.eu-west-1.amazonaws.com/with.dots/k/x",
    ]);
  });

  it("GetBucketLocation, where the refusal says no region", async () => {
    const requests: string[] = [];
    const server = await scripted((request, response) => {
      requests.push(request.url ?? "");
      const scope = /Credential=[^/]+\/\d+\/([^/]+)/.exec(request.headers.authorization ?? "")?.[1];
      if (request.url?.includes("location")) {
        response.end("<LocationConstraint>garage</LocationConstraint>");
      } else if (scope !== "garage") {
        response.writeHead(400).end("<Error><Code>AuthorizationHeaderMalformed</Code></Error>");
      } else response.end("abc");
    });
    const store = open(server.url, { retries: { attempts: 1 } });
    expect((await store.get("x")).length).toBe(3);
    expect(requests).toEqual(["/blobs/k/x", "/blobs/?location=", "/blobs/k/x"]);
  });

  it("a region that is no name is not believed", async () => {
    const server = await scripted((_request, response) => {
      response
        .writeHead(301, { "x-amz-bucket-region": "evil.example.com/" })
        .end("<Error><Code>PermanentRedirect</Code><Region>x@evil</Region></Error>");
    });
    expect((await failure(open(server.url).get("x"))).code).toBe("DM_STORE_FAILED");
    expect(server.requests.length).toBe(1);
  });
});

describe("conditional puts", () => {
  it("that meet another one under way are repeated, and then have lost or won", async () => {
    const server = await serve();
    const store = open(server.url, { conditionalPuts: true });
    const conflict = { answer: { status: 409, code: "ConditionalRequestConflict" } };
    server.inject(faultOn({ operations: ["PutObject"], times: 2 }, conflict));
    await store.put("lease", bytes(3), { ifAbsent: true });
    expect((await failure(store.put("lease", bytes(4), { ifAbsent: true }))).code).toBe(
      "DM_BLOB_EXISTS",
    );
    expect(await store.get("lease")).toEqual(bytes(3));
  });
  it("are refused where nobody vouches for the server", async () => {
    const server = await serve();
    const put = open(server.url).put("lease", bytes(3), { ifAbsent: true });
    expect((await failure(put)).code).toBe("DM_STORE_OPTION_UNSUPPORTED");
    const old = await serve({ missingFeatures: ["conditions"] });
    const refused = open(old.url, { conditionalPuts: true }).put("l", bytes(3), { ifAbsent: true });
    expect((await failure(refused)).code).toBe("DM_STORE_OPTION_UNSUPPORTED");
  });
});

it.each([
  [403, "QuotaExceeded"],
  [400, "XMinioAdminBucketQuotaExceeded"],
  [507, "InsufficientCapacity"],
])("a full store says so, by status %i too", async (status, code) => {
  const server = await serve();
  const store = open(server.url);
  server.inject(faultOn({ operations: ["PutObject"], times: 1 }, { answer: { status, code } }));
  expect((await failure(store.put("p1", bytes(3)))).code).toBe("DM_STORE_NO_SPACE");
});
