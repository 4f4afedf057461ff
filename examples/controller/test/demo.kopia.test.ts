/** The repository of the demo with the real client: it connects, lists, verifies, and knows the algorithms that were asked for. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { secrets } from "@dm/crds";
import { requirePeer } from "@dm/fixtures";
import { testAccessKey } from "@dm/storage/testing/s3";
import { expect, it } from "vitest";
import { type DemoParts, runDemo } from "../src/demo/run-demo.ts";
import { createScreen } from "../src/demo/screen.ts";
import { layOutImage } from "./programs.ts";

const peer = requirePeer("kopia");
const run = promisify(execFile);

it.skipIf(!peer.available)(
  peer.title("kopia reads what the demo has moved"),
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "dm-demo-kopia-"));
    const env = {
      PATH: process.env["PATH"],
      HOME: folder,
      KOPIA_CHECK_FOR_UPDATES: "false",
      AWS_ACCESS_KEY_ID: testAccessKey.accessKeyId,
      AWS_SECRET_ACCESS_KEY: testAccessKey.secretAccessKey,
    };
    const inspect: DemoParts["inspect"] = async ({ stage, store }) => {
      const { client } = stage;
      const key = { namespace: stage.operatorNamespace, name: "velero-repo-credentials" };
      const secret = await client.get(secrets, key);
      const coded = secret?.data?.["repository-password"] ?? "";
      const password = Buffer.from(coded, "base64").toString();
      const kopia = async (args: string): Promise<string> => {
        const options = { env: { ...env, KOPIA_PASSWORD: password } };
        return (await run(peer.path, args.split(" "), options)).stdout;
      };
      await kopia(`repository connect ${store.connectFlags(stage.namespace)}`);
      const status = await kopia("repository status");
      expect(status).toMatch(/Hash: +BLAKE3-256/);
      expect(status).toMatch(/Encryption: +CHACHA20-POLY1305-HMAC-SHA256/);
      expect(status).toMatch(/Splitter: +DYNAMIC-8M-RABINKARP/);
      await kopia("snapshot verify --verify-files-percent=100");
      const listed = JSON.parse(await kopia("snapshot list --all --json")) as {
        source: Record<string, string>;
      }[];
      expect(listed.map(({ source }) => source["path"]).sort()).toEqual(
        ["database", "database", "files", "files", "image", "image"].map(
          (claim) => `snapshot-data-upload-download/kopia/${stage.namespace}/${claim}`,
        ),
      );
    };
    try {
      mkdirSync(join(folder, "source"));
      writeFileSync(join(folder, "source/file"), "text");
      const block = join(folder, "image");
      writeFileSync(block, Buffer.alloc(2 << 20, "block "));
      const complete = await runDemo({
        settings: {
          sources: [join(folder, "source")],
          block,
          keep: false,
          image: "dm",
          yes: false,
          algorithms: {
            hash: "BLAKE3-256",
            encryption: "CHACHA20-POLY1305-HMAC-SHA256",
            splitter: "DYNAMIC-8M-RABINKARP",
          },
        },
        screen: createScreen(() => {}, false),
        programs: layOutImage(folder),
        defaultSources: [],
        signal: AbortSignal.timeout(240_000),
        inspect,
      });
      expect(complete).toBe(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  300_000,
);
