// The Google Cloud store passes the contract over fake-gcs-server, with which others test their clients; earlier states of a
// bucket with versions are seen. It checks no tokens and cannot prolong a retention: test/gcs-store.test.ts.
import { type ReferenceServer, requirePeer, startFakeGcsServer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GcsStoreOptions, gcsStore } from "../src/gcs.ts";
import { testBlobStore } from "../src/testing.ts";
import { expectValid, onServer } from "./object-service.ts";

const peer = requirePeer("gcs");
let server: ReferenceServer;
let versioned: ReferenceServer;

const { open, reopen } = onServer<Partial<GcsStoreOptions>>((options) =>
  gcsStore({
    bucket: "blobs",
    endpoint: server.url,
    retention: false,
    retries: { attempts: 3, firstDelayMs: 10 },
    ...options,
  }),
);

describe.skipIf(!peer.available)(peer.title("Google Cloud store over fake-gcs-server"), () => {
  beforeAll(async () => {
    server = await startFakeGcsServer(peer.path);
    versioned = await startFakeGcsServer(peer.path, { versioned: true });
  }, 90_000);
  afterAll(async () => {
    await server?.close();
    await versioned?.close();
  });

  testBlobStore("fake-gcs-server", async () => open(), { describe, it }, { reopen });

  it("passes validation", async () => {
    await expectValid(() => open({ prefix: "validated/" }));
  }, 60_000);

  it("sees earlier states of a bucket with versions", async () => {
    const text = (data: Uint8Array): string => new TextDecoder().decode(data);
    const pause = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 20));
    const now = open({ endpoint: versioned.url, prefix: "k/" });
    await now.put("a", new TextEncoder().encode("one"));
    await now.put("b", new TextEncoder().encode("b"));
    await pause();
    const before = new Date();
    await pause();
    await now.put("a", new TextEncoder().encode("two"));
    await now.delete("b");
    await now.put("c", new TextEncoder().encode("c"));
    const past = open({ endpoint: versioned.url, prefix: "k/", pointInTime: before });
    const ids: string[] = [];
    for await (const { id } of past.list("")) ids.push(id);
    expect(ids.sort()).toEqual(["a", "b"]);
    expect(text(await past.get("a"))).toBe("one");
    expect(text(await past.get("b", { offset: 0, length: 1 }))).toBe("b");
    await expect(past.get("c")).rejects.toMatchObject({ code: "DM_BLOB_NOT_FOUND" });
    expect(text(await now.get("a"))).toBe("two");
  });

  it("says that a bucket keeps no versions, or is not there", async () => {
    const past = open({ pointInTime: new Date() });
    await expect(past.get("a")).rejects.toMatchObject({ code: "DM_STORE_NOT_VERSIONED" });
    await expect(open({ bucket: "nowhere" }).put("a", new Uint8Array(1))).rejects.toMatchObject({
      code: "DM_STORE_NOT_FOUND",
    });
  });
});
