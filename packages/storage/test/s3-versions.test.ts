// A versioned bucket as it was: what was there is there, what was deleted is deleted, later versions do not shine through; against
// a model, at every moment of a history.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import { s3Store, staticCredentials } from "../src/s3.ts";
import { type S3Server, startS3Server, testAccessKey } from "../src/testing/s3.ts";

let server: S3Server;
beforeAll(async () => {
  const buckets = [{ name: "versions", versioning: true }, "plain"];
  server = await startS3Server({ buckets });
});
afterAll(() => server.close());

const open = (pointInTime?: Date, bucket = "versions"): BlobStore =>
  s3Store({
    endpoint: server.url,
    bucket,
    prefix: "k/",
    credentials: staticCredentials(testAccessKey),
    storageClasses: [],
    retries: { attempts: 2, firstDelayMs: 1 },
    pointInTime,
  });

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
async function contents(store: BlobStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { id, length } of store.list("")) {
    const bytes = await store.get(id);
    expect(bytes.length).toBe(length);
    expect((await store.stat(id)).length).toBe(length);
    found[id] = new TextDecoder().decode(bytes);
  }
  return found;
}

describe("point in time", () => {
  it("shows every state of a history, blob by blob, and takes no change", async () => {
    const current = open();
    const states: Array<{ at: Date; wanted: Record<string, string> }> = [];
    const model = new Map<string, string>();
    const steps: Array<() => Promise<void>> = [
      async () => current.put("a", utf8("first")).then(() => void model.set("a", "first")),
      async () => current.put("ab", utf8("other")).then(() => void model.set("ab", "other")),
      async () =>
        current.put("a", utf8("second one")).then(() => void model.set("a", "second one")),
      async () => current.delete("a").then(() => void model.delete("a")),
      async () => current.delete("ab").then(() => void model.delete("ab")),
      async () => current.put("a", utf8("third")).then(() => void model.set("a", "third")),
    ];
    const startMs = Date.now();
    for (const [index, step] of steps.entries()) {
      // The server tells times to the second; a minute lies between two changes.
      server.clockOffsetMs = index * 60_000;
      await step();
      const at = new Date(startMs + index * 60_000 + 30_000);
      states.push({ at, wanted: Object.fromEntries([...model].sort()) });
    }
    await current.close();
    for (const { at, wanted } of states) {
      const past = open(at);
      expect(past.readOnly).toBe(true);
      // Single reads first: nothing is remembered from a list yet.
      for (const id of ["a", "ab", "abc"]) {
        const got = await past.get(id, { offset: 1 }).then(
          (bytes) => new TextDecoder().decode(bytes),
          (error: { code: string }) => error.code,
        );
        expect(got).toBe(wanted[id]?.slice(1) ?? "DM_BLOB_NOT_FOUND");
      }
      expect(await contents(past)).toEqual(wanted);
      for (const run of [
        () => past.put("x", utf8("")),
        () => past.delete("a"),
        () => past.extendRetention("a", { mode: "GOVERNANCE", periodMs: 1 }),
      ]) {
        await expect(run()).rejects.toMatchObject({ code: "DM_STORE_READ_ONLY" });
      }
      await past.close();
    }
    const before = open(new Date(startMs - 60_000));
    expect(await contents(before)).toEqual({});
    await before.close();
    server.clockOffsetMs = 0;
  });

  it("is found through more versions than a page has", async () => {
    const many = open();
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 400 }, (_, index) =>
          many.put(`p${String(index).padStart(4, "0")}`, utf8(`${round}`)),
        ),
      );
    }
    const past = open(new Date(Date.now() + 60_000));
    const found: string[] = [];
    for await (const { id } of past.list("p")) found.push(id);
    expect(found).toEqual(Array.from({ length: 400 }, (_, i) => `p${String(i).padStart(4, "0")}`));
    await many.close();
    await past.close();
  });

  it("is refused where nothing old is kept", async () => {
    const past = open(new Date(), "plain");
    const unversioned = { code: "DM_STORE_NOT_VERSIONED", name: "UnsupportedError" };
    await expect(past.get("a")).rejects.toMatchObject(unversioned);
    await expect(contents(past)).rejects.toMatchObject(unversioned);
    await past.close();
  });
});
