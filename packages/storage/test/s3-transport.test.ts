// The two transports do the same: what they send arrives, what comes back is whole or an error, connections are kept and let
// go, an abort is at once. Against servers that speak HTTP by hand.
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { bodyCollector, type HttpRequest } from "../src/http/http-transport.ts";
import { fetchTransport, type HttpTransport, nodeTransport } from "../src/s3.ts";

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Answers each connection with `answer` after the head of a request has come. */
async function byHand(answer: (socket: Socket, head: string) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let head = "";
    socket.on("data", (chunk) => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      answer(socket, head);
      head = "";
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
}

const request = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: "GET",
  url,
  headers: {},
  maxBodyBytes: 1000,
  timeoutMs: 5_000,
  ...more,
});
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe.each<[string, () => HttpTransport]>([
  ["nodeTransport", () => nodeTransport() as HttpTransport],
  ["fetchTransport", () => fetchTransport()],
])("%s", (_name, make) => {
  const open = (): HttpTransport => {
    const transport = make();
    cleanups.push(() => transport.close());
    return transport;
  };

  it("sends method, headers and body, and gives status, headers and body", async () => {
    const seen: unknown[] = [];
    const server = createHttpServer(async (incoming, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const { "content-length": length, "x-amz-date": date } = incoming.headers;
      seen.push([incoming.method, incoming.url, length, date, Buffer.concat(chunks).toString()]);
      response.writeHead(299, { "X-Amz-Request-Id": "r1" }).end("answer");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a%2Bb%20c?q=%2F`;
    const body = new TextEncoder().encode("__hello__").subarray(2, 7);
    const put = request(url, { method: "PUT", headers: { "x-amz-date": "d" }, body });
    const response = await open().send(put);
    expect(seen).toEqual([["PUT", "/a%2Bb%20c?q=%2F", "5", "d", "hello"]]);
    expect([response.status, response.header("x-amz-request-id"), text(response.body)]).toEqual([
      299,
      "r1",
      "answer",
    ]);
    expect(response.header("none")).toBeUndefined();
  });

  it("keeps connections", async () => {
    const ports = new Set<number | undefined>();
    const url = await byHand((socket) => {
      ports.add(socket.remotePort);
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    const transport = open();
    for (let index = 0; index < 5; index++) await transport.send(request(url));
    // Node's fetch gives a connection back a little later than it gives the answer: it alternates between two.
    expect(ports.size).toBeLessThan(3);
  });

  it("follows no redirect", async () => {
    let requests = 0;
    const url = await byHand((socket) => {
      requests += 1;
      socket.write("HTTP/1.1 307 Moved\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n");
    });
    expect((await open().send(request(url))).status).toBe(307);
    expect(requests).toBe(1);
  });

  it("takes the head of an answer to HEAD for what it is", async () => {
    const url = await byHand((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n");
    });
    const response = await open().send(request(url, { method: "HEAD", maxBodyBytes: 0 }));
    expect([response.header("content-length"), response.body.length]).toEqual(["4000", 0]);
  });

  it.each([
    [
      "that ends before its length",
      "content-length: 10\r\n\r\nshort",
      "DM_STORE_ANSWER_INCOMPLETE",
    ],
    [
      "in chunks, without the last",
      "transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
      "DM_STORE_ANSWER_INCOMPLETE",
    ],
    ["longer than it may be, announced", "content-length: 2000\r\n\r\n", "DM_STORE_ANSWER_INVALID"],
    [
      "longer than it may be, in chunks",
      `transfer-encoding: chunked\r\n\r\n7d0\r\n${"x".repeat(2000)}\r\n`,
      "DM_STORE_ANSWER_INVALID",
    ],
  ])("refuses a body %s", async (_what, rest, code) => {
    const url = await byHand((socket) => socket.end(`HTTP/1.1 200 OK\r\n${rest}`));
    await expect(open().send(request(url))).rejects.toMatchObject({ code });
  });

  it("reports a connection that is closed without an answer, or answers nonsense, as one that may pass", async () => {
    for (const answer of ["", "nonsense\r\n\r\n"]) {
      const url = await byHand((socket) => socket.end(answer));
      await expect(open().send(request(url))).rejects.toMatchObject({
        name: "StorageError",
        retryable: true,
      });
    }
  });

  it("reads the answer of a server that refuses a body before it has come", async () => {
    const url = await byHand((socket) => {
      socket.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\ndenied");
      setTimeout(() => socket.end(), 20);
    });
    const put = request(url, { method: "PUT", body: new Uint8Array(8 << 20) });
    const outcome = await open()
      .send(put)
      .then(
        ({ status }) => status,
        (error: { retryable: boolean }) => error.retryable,
      );
    // Whether the answer or the broken pipe is seen first is the kernel's choice; neither may hang or be final.
    expect([403, true]).toContain(outcome);
  });

  it("gives up on silence, before the answer and within it", async () => {
    const silent = await byHand(() => {});
    const timeoutMs = 80;
    const timedOut = { code: "DM_STORE_TIMEOUT", retryable: true };
    await expect(open().send(request(silent, { timeoutMs }))).rejects.toMatchObject(timedOut);
    const half = await byHand((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    });
    await expect(open().send(request(half, { timeoutMs }))).rejects.toMatchObject(timedOut);
  });

  it("does not give up while something arrives often enough", async () => {
    const url = await byHand((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n");
      let sent = 0;
      const timer = setInterval(() => {
        socket.write("x");
        sent += 1;
        if (sent === 6) clearInterval(timer);
      }, 20);
    });
    // Six bytes have 400 ms and nothing for their length; they need about 120.
    expect((await open().send(request(url, { timeoutMs: 400 }))).body.length).toBe(6);
  });

  it("rejects with the reason of the signal, before, while waiting and while reading", async () => {
    const url = await byHand((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    });
    const silent = await byHand(() => {});
    const reason = new Error("enough");
    const before = request(url, { signal: AbortSignal.abort(reason) });
    await expect(open().send(before)).rejects.toBe(reason);
    for (const target of [silent, url]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(reason), 30);
      await expect(open().send(request(target, { signal: stop.signal }))).rejects.toBe(reason);
    }
  });
});

describe("nodeTransport alone", () => {
  it("lets requests wait for a free connection without counting that as silence", async () => {
    const url = await byHand((socket) => {
      setTimeout(() => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), 60);
    });
    const transport = nodeTransport({ maxConnections: 1 }) as HttpTransport;
    cleanups.push(() => transport.close());
    const all = Array.from({ length: 8 }, () => transport.send(request(url, { timeoutMs: 400 })));
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual(Array(8).fill(200));
  });

  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const followsProxies = major > 24 || (major === 24 && minor >= 5);
  it.skipIf(!followsProxies)(
    "goes through the proxy of the environment (from Node 24.5 on), but not to this machine",
    async () => {
      const heads: string[] = [];
      const url = await byHand((socket, head) => {
        heads.push(head.split("\r\n")[0] ?? "");
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      });
      const environment = { HTTP_PROXY: new URL(url).origin, NO_PROXY: "direct.invalid" };
      const transport = nodeTransport({ environment }) as HttpTransport;
      cleanups.push(() => transport.close());
      await transport.send(request("http://s3.invalid/bucket/key"));
      await transport.send(request(url));
      expect(heads).toEqual(["GET http://s3.invalid/bucket/key HTTP/1.1", "GET /x HTTP/1.1"]);
      await expect(transport.send(request("http://direct.invalid/"))).rejects.toMatchObject({
        code: "DM_STORE_UNREACHABLE",
      });
    },
  );
});

it("says that a server sends a page elsewhere, though a browser hides where to", async () => {
  const hidden = Object.defineProperties(Response.error(), {
    type: { value: "opaqueredirect" },
    status: { value: 0 },
  });
  const transport = fetchTransport({ fetch: async () => hidden });
  await expect(transport.send(request("http://bucket.invalid/x"))).rejects.toMatchObject({
    code: "DM_STORE_FAILED",
    retryable: false,
    message: expect.stringContaining("bucket.invalid sends us elsewhere"),
  });
});

describe("bodyCollector", () => {
  it("reserves no more than is likely, whatever a header promises", () => {
    const body = bodyCollector(2 ** 40, 2 ** 39);
    body.add(new Uint8Array([1, 2]));
    expect(body.finish()).toEqual(new Uint8Array([1, 2]));
  });
  it("gives an array of its own", () => {
    const body = bodyCollector(100, undefined);
    const chunk = new Uint8Array([1, 2, 3]);
    body.add(chunk);
    body.add(chunk);
    chunk.fill(0);
    const whole = body.finish();
    expect(whole).toEqual(new Uint8Array([1, 2, 3, 1, 2, 3]));
    expect(whole.buffer.byteLength).toBe(6);
  });
});
