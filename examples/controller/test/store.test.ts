import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openStore } from "../src/demo/store.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-store-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const place = { run: "r1", namespace: "dm-system", folder, environment: {} };

describe("where the repository lies", () => {
  it("is a server of this process by default", async () => {
    const store = await openStore(undefined, place);
    try {
      const { config, objectStorage } = store.location.spec;
      expect(objectStorage).toEqual({ bucket: "dm-demo", prefix: "velero" });
      expect(config?.["s3Url"]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect((await fetch(config?.["s3Url"] ?? "")).status).toBe(403);
      expect(store.connectFlags("shop")).toMatch(
        /^s3 --bucket=dm-demo --prefix=velero\/kopia\/shop\/ --endpoint=127.* --disable-tls$/,
      );
    } finally {
      await store.close();
    }
  });

  it("is a prefix of the run's own in a bucket, with keys that stay out of everything but the Secret", async () => {
    const environment = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "hidden" };
    const store = await openStore("s3://bucket/a/", { ...place, environment });
    expect(store.location.spec.objectStorage).toEqual({ bucket: "bucket", prefix: "a/dm-demo-r1" });
    expect(
      JSON.stringify([store.location, store.description, store.connectFlags("n")]),
    ).not.toContain("hidden");
    expect(Buffer.from(store.secret?.data?.["cloud"] ?? "", "base64").toString()).toContain(
      "hidden",
    );
    await expect(openStore("s3://bucket", place)).rejects.toThrow("from the environment");
  });

  it("is a folder of the run's own in a directory", async () => {
    const store = await openStore(folder, place);
    expect(store.location.spec.config).toEqual({ fspath: join(folder, "dm-demo-r1") });
    expect(store.secret).toBeUndefined();
  });
});
