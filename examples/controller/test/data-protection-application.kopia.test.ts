/** The repository that a DataProtectionApplication's server has made, with the real client: it connects, knows the algorithms, verifies. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { expect, it } from "vitest";
import { backUp, connection, enable, openOadpScene } from "./oadp-scene.ts";

const peer = requirePeer("kopia");
const run = promisify(execFile);

it.skipIf(!peer.available)(
  peer.title("kopia sees the algorithms of the application"),
  async () => {
    await using scene = await openOadpScene();
    await enable(scene);
    expect(await backUp(scene)).toMatchObject({ phase: "Completed" });
    const { args, env } = await connection(scene);
    const kopia = async (...words: string[]): Promise<string> =>
      (await run(peer.path, words, { env })).stdout;
    await kopia("repository", "connect", ...args);
    const text = await kopia("repository", "status");
    expect(text).toMatch(/^Hash: +BLAKE3-256$/m);
    expect(text).toMatch(/^Encryption: +CHACHA20-POLY1305-HMAC-SHA256$/m);
    expect(text).toMatch(/^Splitter: +DYNAMIC-8M-RABINKARP$/m);
    expect(text).toMatch(/^Format version: +3$/m);
    await kopia("snapshot", "verify", "--verify-files-percent=100");
    expect(JSON.parse(await kopia("snapshot", "list", "--all", "--json"))).toHaveLength(1);
  },
  120_000,
);
