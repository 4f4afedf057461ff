/** The documented way to choose algorithms: a pod of the manifests, `dm benchmark` in it by the real kubectl, kopia's tables, and advice. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { requirePeer } from "@dm/fixtures";
import { type Cluster, startCluster } from "@dm/testbed";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { manifestFolder } from "../src/manifests.ts";

const peer = requirePeer("kubectl");
const run = promisify(execFile);
const dm = fileURLToPath(new URL("../../cli/src/dm.ts", import.meta.url));

describe.skipIf(!peer.available)(peer.title("benchmarks in a pod"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-benchmark-"));
  let cluster: Cluster;
  const kubectl = (...args: string[]) =>
    run(peer.path, ["--kubeconfig", cluster.kubeconfig, "-n", "dm-system", ...args]);

  beforeAll(async () => {
    const script = `#!/bin/sh\nexec '${process.execPath}' --no-warnings --conditions=@dm/source '${dm}' "$@"\n`;
    writeFileSync(join(folder, "dm"), script, { mode: 0o755 });
    const env = { PATH: `${folder}:${process.env["PATH"]}` };
    const images = { "dm-cli": { argv: ["dm"], isEntrypoint: true, env } };
    cluster = await startCluster({ nodes: 1, csi: false, images });
    await kubectl("create", "namespace", "dm-system");
    await kubectl("apply", "-k", join(manifestFolder, "benchmark"));
    await kubectl("wait", "--for=condition=Ready", "pod/dm-benchmark", "--timeout=20s");
  }, 60_000);
  afterAll(async () => {
    await cluster?.close();
    rmSync(folder, { recursive: true });
  });

  it.each([
    [
      ["hashing", "--block-size=4KB", "--repeat=5"],
      /^ {5}Hash +Throughput\n-{65}\n {2}0\. \S+ +[\d.]+ [KMG]?B \/ second\n/,
      /name: KOPIA_HASHING_ALGORITHM, value: (BLAKE|HMAC)\S+ /,
    ],
    [
      ["encryption", "--block-size=4KB", "--repeat=5"],
      /^ {5}Encryption +Throughput\n-{65}\n {2}0\. \S+ +[\d.]+ [KMG]?B \/ second\n/,
      /name: KOPIA_ENCRYPTION_ALGORITHM, value: (AES256-GCM|CHACHA20-POLY1305)-HMAC-SHA256 /,
    ],
    [
      ["splitter", "--data-size=256KB", "--block-count=1"],
      /^DYNAMIC +[\d.]+ [KMG]?B\/s count:1 min:262144 /,
      /name: KOPIA_SPLITTER_ALGORITHM, value: DYNAMIC-\S+ /,
    ],
  ])("dm benchmark %j", { timeout: 30_000 }, async (args, table, advice) => {
    const { stderr, stdout } = await kubectl(
      "exec",
      "dm-benchmark",
      "--",
      "dm",
      "benchmark",
      ...args,
    );
    expect(stdout).toMatch(table);
    expect(stderr).toMatch(advice);
    expect(stderr).toContain("spec.configuration.velero.podConfig.env");
  });
});
