// The WebDAV store over a server in memory: the store contract in both ways to put and without ranges; connections that are cut,
// silence, refusals, full disks, web pages and foreign certificates end in a repetition or in our own words.
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import { selfSignedCertificate } from "../src/testing/s3.ts";
import { testBlobStore } from "../src/testing.ts";
import { type WebdavConfig, type WebdavStoreOptions, webdavStore } from "../src/webdav.ts";
import { type DavFault, type DavServer, startDavServer } from "./webdav-memory-server.ts";

let server: DavServer;
beforeAll(async () => {
  server = await startDavServer();
});
afterAll(() => server?.close());
beforeEach(() => {
  server.files.clear();
  server.directories.clear();
  for (const path of ["", "/dav"]) server.directories.add(path);
  server.fault = () => undefined;
  server.ranges = true;
  server.hrefPrefix = "";
  server.log.length = 0;
});

function open(config: Partial<WebdavConfig> = {}, options: WebdavStoreOptions = {}): BlobStore {
  const whole = { url: server.url, username: "backup", password: "very-secret", ...config };
  return webdavStore(whole, { create: true, retries: { firstDelayMs: 1 }, ...options });
}

const runner = { describe, it };
const shared = { timestampPrecisionNs: 1_000_000_000n, manyBlobs: 200 };
for (const atomicWrites of [false, true]) {
  testBlobStore(
    `WebDAV, atomicWrites ${atomicWrites}`,
    async () => open({ atomicWrites }),
    runner,
    {
      ...shared,
      reopen: async () => open({ atomicWrites }, { create: false }),
    },
  );
}
testBlobStore(
  "WebDAV, a server without ranges behind a proxy with other names",
  async () => {
    server.ranges = false;
    server.hrefPrefix = "http://inside:8080/app";
    return open({ atomicWrites: true });
  },
  runner,
  shared,
);

const id = "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147";
const data = Uint8Array.from({ length: 100_000 }, (_, index) => index * 7);

async function prepared(config?: Partial<WebdavConfig>, options?: WebdavStoreOptions) {
  const store = open(config, options);
  await store.put("warm", data);
  server.log.length = 0;
  return store;
}

function failing(method: string, fault: DavFault, times = 1): () => number {
  let failed = 0;
  server.fault = (seen) => {
    if (seen !== method || failed >= times) return undefined;
    failed += 1;
    return fault;
  };
  return () => failed;
}

const temporaries = (): string[] =>
  [...server.files.keys()].filter((path) => path.includes(".tmp."));

describe("a request that fails", () => {
  it.each([
    ["PUT", { cut: "before" }],
    ["PUT", { cut: "after" }],
    ["PUT", { status: 503 }],
    ["PUT", { status: 423 }],
    ["PUT", { status: 405 }],
    ["MOVE", { cut: "before" }],
    ["MOVE", { cut: "after" }],
    ["MOVE", { status: 429 }],
  ] as const)(
    "a put whose %s meets %j is repeated, and nothing is left over",
    async (method, fault) => {
      const store = await prepared();
      const failed = failing(method, fault);
      await store.put(id, data);
      expect(failed()).toBe(1);
      expect(await store.get(id)).toEqual(data);
      expect(temporaries()).toEqual([]);
      await store.close();
    },
  );

  it.each([
    ["GET", { cut: "before" }],
    ["GET", { cut: "inside" }],
    ["GET", { status: 500 }],
    ["PROPFIND", { cut: "inside" }],
    ["PROPFIND", { status: 502, body: "<html>Bad gateway</html>" }],
    ["PROPFIND", { status: 207, body: '<?xml version="1.0"?><multistatus xmlns="DAV:"><resp' }],
  ] as const)("a read whose %s meets %j is repeated", async (method, fault) => {
    const store = await prepared();
    const failed = failing(method, fault, 2);
    if (method === "GET") expect(await store.get("warm")).toEqual(data);
    else expect((await store.stat("warm")).length).toBe(data.length);
    expect(failed()).toBe(2);
    await store.close();
  });

  it.each([
    ["PUT", { status: 507 }, "StorageError", "DM_STORE_NO_SPACE"],
    ["PUT", { status: 403 }, "AccessError", "DM_STORE_ACCESS_DENIED"],
    [
      "PUT",
      { status: 401, headers: { "www-authenticate": "Basic" } },
      "AccessError",
      "DM_STORE_CREDENTIALS_INVALID",
    ],
    [
      "PUT",
      { status: 401, headers: { "www-authenticate": "Digest realm=x" } },
      "UnsupportedError",
      "DM_STORE_OPTION_UNSUPPORTED",
    ],
    [
      "PUT",
      { status: 302, headers: { location: "https://elsewhere.example/x?token=secret" } },
      "StorageError",
      "DM_STORE_FAILED",
    ],
    ["MOVE", { status: 501 }, "UnsupportedError", "DM_STORE_OPTION_UNSUPPORTED"],
  ] as const)(
    "a put whose %s meets %j is given up, and the old bytes stay",
    async (method, fault, name, code) => {
      const store = await prepared();
      failing(method, fault, Infinity);
      const error = (await store
        .put("warm", new Uint8Array(3))
        .catch((caught: unknown) => caught)) as Error;
      expect(error).toMatchObject({ name, code });
      expect(JSON.stringify(error) + error.message).not.toMatch(/secret/);
      server.fault = () => undefined;
      expect(await store.get("warm")).toEqual(data);
      expect(temporaries()).toEqual([]);
      await store.close();
    },
  );

  it.each([
    [undefined, { "content-range": "bytes 10-19/100000" }],
    [undefined, {}],
    [50, { "content-range": "bytes 10-19/100000" }],
    [50, {}],
  ])(
    "a read of a range of %s bytes that gets ten, with %j, is repeated",
    async (length, headers) => {
      const store = await prepared();
      const failed = failing("GET", { status: 206, headers, body: "x".repeat(10) }, 2);
      const end = length && 10 + length;
      expect(await store.get("warm", { offset: 10, length })).toEqual(data.slice(10, end));
      expect(failed()).toBe(2);
      await store.close();
    },
  );

  it("in silence is given up after the timeout, and at once on abort", async () => {
    const store = await prepared({}, { timeoutMs: 60, retries: { attempts: 2, firstDelayMs: 1 } });
    const failed = failing("GET", { silent: true }, Infinity);
    await expect(store.get("warm")).rejects.toMatchObject({ code: "DM_STORE_TIMEOUT" });
    expect(failed()).toBe(2);
    const patient = open();
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("enough")), 20);
    await expect(patient.get("warm", { signal: stop.signal })).rejects.toThrow("enough");
    await Promise.all([store.close(), patient.close()]);
  });
});

describe("a server", () => {
  it("that has no such directory is not an empty repository, and the directory is not made by a put", async () => {
    const store = open({}, { create: false });
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
    expect([...server.directories]).toEqual(["", "/dav"]);
    await store.close();
  });

  it("that removes a file before it moves another to its name is looked at twice", async () => {
    const store = await prepared();
    const failed = failing("GET", { status: 404 });
    expect(await store.get("warm")).toEqual(data);
    expect(failed()).toBe(1);
    await store.close();
  });

  it("that is none says what it is", async () => {
    const page = { status: 200, body: "<!DOCTYPE html><html>Please log in</html>" };
    const store = open({}, { create: false });
    failing("PROPFIND", page, Infinity);
    await expect(store.stat("x")).rejects.toMatchObject({
      code: "DM_STORE_ANSWER_INVALID",
      message: expect.stringContaining("web page"),
    });
    failing("PROPFIND", { status: 405 }, Infinity);
    await expect(store.stat("x")).rejects.toThrow("there is no WebDAV at this URL");
    await store.close();
  });

  it.each([false, true])(
    "in whose place a proxy answers has stored and deleted nothing (atomicWrites %s)",
    async (atomicWrites) => {
      const options = { retries: { attempts: 3, firstDelayMs: 1 } };
      const store = await prepared({ atomicWrites }, options);
      const kept = [...server.files.keys()];
      for (const method of ["PUT", "DELETE", ...(atomicWrites ? [] : ["MOVE"])]) {
        for (const body of ["<!DOCTYPE html><html>Please log in</html>", ""]) {
          for (const everywhere of [true, false]) {
            failing(method, { status: 200, body }, Infinity);
            const { fault } = server;
            server.fault = (seen, path) => (everywhere ? { status: 200, body } : fault(seen, path));
            const change =
              method === "DELETE" ? store.delete("warm") : store.put("warm", new Uint8Array(3));
            await expect(change).rejects.toMatchObject({ code: "DM_STORE_ANSWER_INVALID" });
          }
        }
      }
      server.fault = () => undefined;
      expect(await store.get("warm")).toEqual(data);
      expect(kept.filter((path) => !server.files.has(path))).toEqual([]);
      await store.close();
    },
  );

  it("that says 200 to all that it has done is believed when it shows", async () => {
    const store = await prepared();
    server.fault = (method) =>
      ["PUT", "MOVE", "DELETE"].includes(method) ? { says: 200 } : undefined;
    await store.put(id, data);
    expect(await store.get(id)).toEqual(data);
    await store.delete(id);
    await expect(store.get(id)).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
    expect(temporaries()).toEqual([]);
    await store.close();
  });

  it("gets the credentials of the connection, which nobody else sees", async () => {
    for (const [config, code] of [
      [{ password: "wrong-secret" }, "DM_STORE_CREDENTIALS_INVALID"],
      [{ username: "", password: "" }, "DM_STORE_CREDENTIALS_MISSING"],
    ] as const) {
      const store = open(config);
      const error = (await store.stat("x").catch((caught: unknown) => caught)) as Error;
      expect(error).toMatchObject({ name: "AccessError", code });
      expect(JSON.stringify(error) + error.message + store.displayName).not.toMatch(/secret/);
      await store.close();
    }
    expect(() => open({ url: server.url.replace("://", "://user:very-secret@") })).toThrow(
      expect.objectContaining({
        code: "DM_STORE_CONFIG_INVALID",
        message: expect.not.stringContaining("very-secret"),
      }),
    );
  });
});

describe("TLS", () => {
  const certificate = selfSignedCertificate();
  const fingerprint = new X509Certificate(certificate.cert).fingerprint256;
  let secure: DavServer;
  beforeAll(async () => {
    secure = await startDavServer(certificate);
  });
  afterAll(() => secure?.close());

  it.each([
    ["colons and capitals", fingerprint],
    ["digits as kopia writes them", fingerprint.replaceAll(":", "").toLowerCase()],
  ])("with the certificate that is trusted by its fingerprint: %s", async (_how, trusted) => {
    const store = open({ url: secure.url, trustedServerCertificateFingerprint: trusted });
    await store.put(id, data);
    expect(await store.get(id)).toEqual(data);
    await store.close();
  });

  it("with another certificate nothing is sent", async () => {
    secure.log.length = 0;
    const options = { retries: { attempts: 3, firstDelayMs: 1 } };
    for (const trusted of ["0".repeat(64), undefined]) {
      const config = { url: secure.url, trustedServerCertificateFingerprint: trusted };
      const store = open(config, options);
      await expect(store.stat("x")).rejects.toMatchObject({ code: "DM_STORE_TLS_UNTRUSTED" });
      await store.close();
    }
    expect(secure.log).toEqual([]);
  });
});
