// A server that answers as S3 does: the region stands in a header of any answer; nobody there means that it is not known.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { askRegion } from "../../src/oadp/bucket-region.ts";

let server: Server;
let url: string;
beforeEach(async () => {
  server = createServer((request, response) => {
    const isThere = request.url === "/backups";
    response.writeHead(isThere ? 301 : 404, {
      location: "https://elsewhere.invalid/",
      ...(isThere && { "x-amz-bucket-region": "eu-central-1" }),
    });
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
});

it("is told with a redirection", async () => {
  expect(await askRegion(`${url}/backups`)).toBe("eu-central-1");
});

it("is not known of a bucket that is not there, and when nobody answers", async () => {
  expect(await askRegion(`${url}/none`)).toBeUndefined();
  await new Promise((resolve) => server.close(resolve));
  expect(await askRegion(`${url}/backups`)).toBeUndefined();
});

it("ends when nobody wants to know any more", async () => {
  const reason = new Error("enough");
  await expect(askRegion(`${url}/backups`, AbortSignal.abort(reason))).rejects.toBe(reason);
});
