// Kopia and the S3 store share a bucket: what kopia writes about a connection is read and written again byte for byte and opens
// the same blobs; what one puts, the other lists and reads.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeS3Config, encodeS3Config, s3Store, s3StoreOptions } from "../src/s3.ts";
import { type S3Server, selfSignedCertificate, startS3Server } from "../src/testing/s3.ts";

const kopia = requirePeer("kopia");
const run = promisify(execFile);

describe.skipIf(!kopia.available)(kopia.title("S3 store and kopia"), () => {
  const certificate = selfSignedCertificate();
  let server: S3Server;
  let folder = "";
  let connection: { type: string; config: Record<string, unknown> };

  const call = async (...args: string[]): Promise<string> => {
    const config = join(folder, "repository.config");
    const { stdout } = await run(
      kopia.path,
      [`--config-file=${config}`, "--no-progress", ...args],
      {
        env: {
          PATH: process.env.PATH,
          HOME: folder,
          KOPIA_PASSWORD: "static-passw0rd",
          KOPIA_CHECK_FOR_UPDATES: "false",
          KOPIA_CACHE_DIRECTORY: join(folder, "cache"),
          KOPIA_LOG_DIR: join(folder, "logs"),
        },
      },
    );
    return stdout;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "dm-s3-kopia-"));
    server = await startS3Server({ buckets: ["shop"], tls: certificate });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    await call(
      "repository",
      "create",
      "s3",
      "--bucket=shop",
      "--prefix=velero/kopia/shop/",
      `--endpoint=${server.endpoint}`,
      `--access-key=${accessKeyId}`,
      `--secret-access-key=${secretAccessKey}`,
      `--root-ca-pem-base64=${Buffer.from(certificate.cert).toString("base64")}`,
      "--max-download-speed=100000000",
    );
    const text = await readFile(join(folder, "repository.config"), "utf8");
    connection = JSON.parse(text).storage;
  });
  afterAll(async () => {
    await server?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  it("agree on the connection, member by member, in order", () => {
    expect(connection.type).toBe("s3");
    const written = encodeS3Config(decodeS3Config({ ...connection.config }));
    expect(JSON.stringify(written)).toBe(JSON.stringify(connection.config));
  });

  it("see the same blobs", async () => {
    const store = s3Store(s3StoreOptions(decodeS3Config(connection.config)));
    await store.put("udmrepo.Repository", new TextEncoder().encode('{"uniqueID":"x"}'));
    const listed = JSON.parse(await call("blob", "list", "--json")) as Array<{
      id: string;
      length: number;
      timestamp: string;
    }>;
    const ours: string[] = [];
    for await (const blob of store.list("")) {
      const theirs = listed.find(({ id }) => id === blob.id);
      expect(theirs?.length, blob.id).toBe(blob.length);
      expect(Date.parse(theirs?.timestamp ?? "")).toBe(Number(blob.timestampNs / 1_000_000n));
      expect((await store.get(blob.id)).length).toBe(blob.length);
      ours.push(blob.id);
    }
    expect(ours.sort()).toEqual(listed.map(({ id }) => id).sort());
    expect(ours).toContain("kopia.repository");
    expect(await call("blob", "show", "udmrepo.Repository")).toBe('{"uniqueID":"x"}');
    await store.delete("udmrepo.Repository");
    expect(await call("blob", "list", "--prefix=udmrepo")).toBe("");
    await store.close();
  });
});
