/**
 * The real `velero` as client and as server, as processes of a test. `VELERO` names the binary; plugins lie in the folder that
 * `VELERO_PLUGIN_DIR` names, else in `plugins` beside it. They keep to loopback and to a folder of their own, but for the credentials,
 * which Velero puts under `/tmp/credentials`.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { backupStorageLocations } from "@dm/crds";
import { requirePeer } from "@dm/fixtures";
import { locationName, namespace, type ServerScene } from "./server-scene.ts";

export const velero = requirePeer("velero");

function environment(folder: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env["PATH"],
    HOME: folder,
    TMPDIR: folder,
    VELERO_SCRATCH_DIR: folder,
    // Where it finds no credentials for a moment, it would ask a cloud for them, for a minute.
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

const run = promisify(execFile);
/** It writes them into pipes, too. */
const colors = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");

/** Runs a command of the client; what it printed. Fails as it fails. */
export async function client(scene: ServerScene, ...args: string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "dmv-"));
  try {
    const flags = ["--kubeconfig", scene.kubeconfig, "--namespace", namespace];
    const options = { env: environment(folder), timeout: 60_000, maxBuffer: 16 << 20 };
    const { stderr, stdout } = await run(velero.path, [...args, ...flags], options);
    return (stdout + stderr).replace(colors, "");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface VeleroServer extends AsyncDisposable {
  /** Its log so far. */
  readonly log: string;
}

/** Starts a server for the cluster of a scene. */
export async function startVeleroServer(scene: ServerScene): Promise<VeleroServer> {
  // What any cluster with Velero has.
  scene.create("deployments.apps", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "velero", namespace },
    spec: {
      selector: { matchLabels: { deploy: "velero" } },
      template: {
        metadata: { labels: { deploy: "velero" } },
        spec: { containers: [{ name: "velero", image: "velero/velero:v1" }] },
      },
    },
  });
  // It looks at once only at locations that are in order, and else a minute later.
  const key = { namespace, name: locationName };
  await scene.client.patch(backupStorageLocations, key, { status: { phase: "Available" } });
  const folder = mkdtempSync(join(tmpdir(), "dmv-"));
  const plugins = process.env["VELERO_PLUGIN_DIR"] ?? join(dirname(velero.path), "plugins");
  const flags = [
    "server",
    "--kubeconfig",
    scene.kubeconfig,
    "--namespace",
    namespace,
    "--plugin-dir",
    plugins,
    `--metrics-address=127.0.0.1:${await freePort()}`,
    "--profiler-address=",
    "--item-operation-sync-frequency=1s",
    "--features=EnableCSI",
    // Backups of a recorded time are of interest for longer.
    "--disable-controllers=gc",
  ];
  const child = spawn(velero.path, flags, {
    env: environment(folder),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (piece) => {
      log += piece;
    });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    get log() {
      return log;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(late);
      rmSync(folder, { recursive: true, force: true });
      rmSync(join("/tmp/credentials", namespace), { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (typeof address !== "object" || !address) throw new Error("no port is free");
  return address.port;
}
