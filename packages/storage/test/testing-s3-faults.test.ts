// Every injected fault is what it says on the wire: what was stored, what the client sees, whether the connection breaks;
// rules meet the requests that they name; clients that break off leave nothing behind.
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  faultOn,
  type S3Fault,
  type S3Operation,
  seededS3Faults,
  slowDown,
  startS3Server,
} from "../src/testing/s3.ts";
import { type RawRequest, send, signRequest, target, texts, xmlOf } from "./s3-raw-client.ts";

describe("faults", async () => {
  const server = await startS3Server({ buckets: ["faults"] });
  afterAll(() => server.close());
  const undo: Array<() => void> = [];
  afterEach(() => {
    for (const remove of undo.splice(0)) remove();
  });
  const inject = (operation: S3Operation, fault: S3Fault, times?: number): void => {
    undo.push(server.inject(faultOn({ operations: [operation], times }, fault)));
  };
  const put = (key: string, body: string | Uint8Array, more: RawRequest = {}) =>
    send(server, "PUT", target("faults", key), { body, ...more });
  const get = (key: string) => send(server, "GET", target("faults", key));
  const outcome = (promise: Promise<{ status: number }>): Promise<number | string> =>
    promise.then(
      ({ status }) => status,
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );

  it("an error is answered, for as many requests as it was meant for, and nothing is done", async () => {
    inject("PutObject", { answer: { ...slowDown, headers: { "retry-after": "1" } } }, 2);
    const first = await put("busy", "x");
    expect([first.status, first.code, first.headers["retry-after"]]).toEqual([
      503,
      "SlowDown",
      "1",
    ]);
    expect((await put("busy", "x")).status).toBe(503);
    expect(server.log.at(-1)?.code).toBe("SlowDown");
    expect((await get("busy")).code).toBe("NoSuchKey");
    expect((await put("busy", "x")).status).toBe(200);
    expect((await get("busy")).text).toBe("x");
  });

  it("an answer that is empty, or HTML", async () => {
    inject(
      "GetObject",
      {
        answer: {
          status: 502,
          headers: { "content-type": "text/html" },
          body: "<html>Bad Gateway</html>",
        },
      },
      1,
    );
    expect((await get("busy")).text).toBe("<html>Bad Gateway</html>");
    inject("ListObjectsV2", { answer: { status: 200 } }, 1);
    const empty = await send(server, "GET", target("faults", "", "list-type=2"));
    expect([empty.status, empty.text]).toEqual([200, ""]);
  });

  it("a connection cut before: nothing is stored", async () => {
    inject("PutObject", { reset: "before" }, 1);
    expect(await outcome(put("before", "x"))).toBe("ECONNRESET");
    expect((await get("before")).code).toBe("NoSuchKey");
  });

  it("a connection cut after: all is stored, and only the answer lost", async () => {
    inject("PutObject", { reset: "after" }, 1);
    expect(await outcome(put("after", "x"))).toBe("ECONNRESET");
    expect((await get("after")).text).toBe("x");
  });

  it("a connection cut in the middle of an upload: nothing is stored", async () => {
    inject("PutObject", { resetAfterReceivedBytes: 100_000 }, 1);
    expect(await outcome(put("upload", Buffer.alloc(5 << 20)))).toMatch(/ECONNRESET|EPIPE/);
    expect((await get("upload")).code).toBe("NoSuchKey");
  });

  it("a connection cut in the middle of an answer", async () => {
    await put("download", Buffer.alloc(1 << 20));
    inject("GetObject", { resetAfterSentBytes: 1000 }, 1);
    expect(await outcome(get("download"))).toBe("ECONNRESET");
    expect((await get("download")).body.length).toBe(1 << 20);
  });

  it("a body that is shorter, though nothing looks wrong", async () => {
    await put("short", "0123456789");
    inject("GetObject", { shortenToBytes: 4 }, 1);
    const { headers, status, text } = await get("short");
    expect([status, text, headers["content-length"]]).toEqual([200, "0123", "4"]);
  });

  it("a length that is announced wrong, in both directions", async () => {
    inject("GetObject", { announceBytes: 20 }, 1);
    expect(await outcome(get("short"))).toBe("ECONNRESET");
    inject("GetObject", { announceBytes: 4 }, 1);
    const shorter = await get("short").catch((error: NodeJS.ErrnoException) => error);
    // A client either stops at the length that it was told, or sees that more comes.
    if (shorter instanceof Error) expect(shorter.code).toMatch(/HPE|ECONNRESET/);
    else expect(shorter.text).toBe("0123");
  });

  it("a slow body, and a delay", async () => {
    const start = performance.now();
    inject("GetObject", { bytesPerSecond: 100, delayMs: 30 }, 1);
    expect((await get("short")).text).toBe("0123456789");
    expect(performance.now() - start).toBeGreaterThan(110);
  });

  it("a list that is behind: new keys are missing, old ones there, replaced ones as they were", async () => {
    const list = async () => {
      const answer = await send(server, "GET", target("faults", "", "list-type=2&prefix=stale/"));
      const root = xmlOf(answer, "ListBucketResult");
      return texts(root, "Contents", "Key").map((key, index) => [
        key,
        texts(root, "Contents", "Size")[index],
      ]);
    };
    await put("stale/changed", "1");
    await put("stale/removed", "1");
    server.clockOffsetMs += 60_000;
    await put("stale/changed", "22", { dateMs: Date.now() + 60_000 });
    await put("stale/new", "333", { dateMs: Date.now() + 60_000 });
    await send(server, "DELETE", target("faults", "stale/removed"));
    expect(await list()).toEqual([
      ["stale/changed", "2"],
      ["stale/new", "3"],
    ]);
    inject("ListObjectsV2", { staleMs: 30_000 }, 1);
    expect(await list()).toEqual([
      ["stale/changed", "1"],
      ["stale/removed", "1"],
    ]);
    server.clockOffsetMs = 0;
  });

  it("rules pass requests that they do not name, and skip as many as they were told", async () => {
    const rule = faultOn(
      { operations: ["GetObject"], key: (key) => key === "short", skip: 1, times: 1 },
      { answer: slowDown },
    );
    undo.push(server.inject(rule));
    const seen: number[] = [];
    for (const key of ["busy", "short", "busy", "short", "short"])
      seen.push((await get(key)).status);
    expect(seen).toEqual([200, 200, 200, 503, 200]);
  });

  it("chances repeat with their seed", async () => {
    const run = async (): Promise<Array<number | string>> => {
      const remove = server.inject(seededS3Faults({ seed: 5, probability: 0.4 }));
      const seen: Array<number | string> = [];
      for (let index = 0; index < 20; index++) seen.push(await outcome(put("seeded", "x")));
      remove();
      return seen;
    };
    const first = await run();
    expect(new Set(first).size).toBeGreaterThan(2);
    expect(await run()).toEqual(first);
  });

  it("a client that breaks off an upload leaves nothing, and the server goes on", async () => {
    for (const sent of [0, 10, 5000]) {
      const body = "x".repeat(10_000);
      const { headers } = signRequest(server, "PUT", target("faults", "broken"), { body });
      const socket = connect(Number(server.endpoint.split(":")[1]), "127.0.0.1");
      await once(socket, "connect");
      const lines = Object.entries({ ...headers, "content-length": "10000" });
      socket.write(
        `PUT /faults/broken HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
      );
      socket.write(body.slice(0, sent));
      await new Promise((resolve) => setTimeout(resolve, 10));
      socket.resetAndDestroy();
      await once(socket, "close");
    }
    expect((await get("broken")).code).toBe("NoSuchKey");
    expect((await put("broken", "whole")).status).toBe(200);
  });

  it("a client that breaks off a download disturbs nobody", async () => {
    for (let round = 0; round < 3; round++) {
      const { headers } = signRequest(server, "GET", target("faults", "download"));
      const socket = connect(Number(server.endpoint.split(":")[1]), "127.0.0.1");
      await once(socket, "connect");
      socket.write(
        `GET /faults/download HTTP/1.1\r\n${Object.entries(headers)
          .map(([name, value]) => `${name}: ${value}\r\n`)
          .join("")}\r\n`,
      );
      await once(socket, "data");
      socket.resetAndDestroy();
    }
    expect((await get("download")).body.length).toBe(1 << 20);
  });
});
