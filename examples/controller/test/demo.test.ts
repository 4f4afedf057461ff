/**
 * The main job from built programs in an empty folder, each role of which is started: everything that was frozen comes back, but what is altered on purpose; nobody
 * asked for more than the manifests grant; and other people's objects are as they were.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeKubeClient } from "@dm/controller/runtime";
import { backupRepositories, jobs, persistentVolumes, pods } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type DemoParts, runDemo } from "../src/demo/run-demo.ts";
import { createScreen } from "../src/demo/screen.ts";
import { type Stage, until } from "../src/demo/stage.ts";
import { runPod } from "../src/demo/volumes.ts";
import { layOutImage } from "./programs.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-demo-test-"));
  mkdirSync(join(folder, "source/deep"), { recursive: true });
  writeFileSync(join(folder, "source/altered"), "some text");
  writeFileSync(join(folder, "source/deep/other-mode"), "text", { mode: 0o640 });
  writeFileSync(join(folder, "source/deep/removed"), "text");
  for (let number = 0; number < 50; number++)
    writeFileSync(join(folder, `source/deep/${number}`), "x".repeat(number * 1000));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = {
  sources: [] as string[],
  keep: false,
  image: "dm",
  yes: false,
  algorithms: { hash: "BLAKE3-256" },
};

/** Runs a shell in a pod that has the volume. */
async function inVolume(stage: Stage, claim: string, script: string): Promise<string> {
  const shell = { ...stage, pod: { image: "host", command: ["sh", "-ec"] } };
  const args = [`cd "$0"; ${script}`, "VOLUME"];
  return runPod(shell, { name: `shell-${claim}`, claim, volumeMode: "Filesystem", args });
}

/** Has a maintenance run, in a Job of its own. */
async function maintained(client: NodeKubeClient, stage: Stage): Promise<void> {
  const name = `${stage.namespace}-default-kopia`;
  const key = { namespace: stage.operatorNamespace, name };
  await client.patch(backupRepositories, key, { spec: { maintenanceFrequency: "1s" } });
  const [first] = await until("maintenance to end", stage, async () => {
    const records = (await client.get(backupRepositories, key))?.status?.recentMaintenance ?? [];
    return records.length > 0 ? records : undefined;
  });
  expect(first).toMatchObject({ result: "Succeeded" });
  await client.patch(backupRepositories, key, { spec: { maintenanceFrequency: "1h" } });
  await until("maintenance Jobs to end", stage, async () => {
    const { items } = await client.list(jobs, { namespace: stage.operatorNamespace });
    return items.every(({ status }) => status?.succeeded) || undefined;
  });
  await client.delete(backupRepositories, key);
  for (const { metadata } of (await client.list(jobs, { namespace: key.namespace })).items)
    await client.delete(jobs, { namespace: key.namespace, name: metadata.name ?? "" });
  await until("pods of Jobs to go", stage, async () => {
    const { items } = await client.list(pods, { namespace: key.namespace });
    return items.length === 3 || undefined;
  });
}

it("moves volumes out and back, and the proof sees what was altered afterwards", async () => {
  let text = "";
  const screen = createScreen((more) => {
    text += more;
  }, false);
  const block = join(folder, "image");
  writeFileSync(block, Buffer.alloc(3 << 20, "block "));
  const inspect: DemoParts["inspect"] = async ({ embedded, stage }) => {
    if (!embedded) throw new Error("this is the embedded cluster");
    const { client, cluster } = embedded;
    await maintained(client, stage);
    expect(cluster.server.denied).toEqual([]);
    const { items } = await client.list(persistentVolumes);
    expect(items.map(({ spec }) => spec.claimRef?.name).sort()).toEqual([
      "database",
      "files",
      "image",
    ]);
    expect(cluster.csi?.volumes()).toHaveLength(3);
    expect(cluster.csi?.snapshots()).toEqual([]);
    for (const resource of ["volumesnapshots", "volumesnapshotcontents"])
      expect(cluster.api.list(`${resource}.snapshot.storage.k8s.io`)).toEqual([]);
    const left = cluster.api.list("pods", stage.operatorNamespace);
    expect(left.map(({ metadata }) => metadata.labels?.["app.kubernetes.io/name"]).sort()).toEqual([
      "dm-node-agent",
      "dm-node-agent",
      "dm-server",
    ]);
    expect(cluster.api.list("persistentvolumeclaims", stage.operatorNamespace)).toEqual([]);
  };
  const complete = await runDemo({
    settings: { ...settings, sources: [join(folder, "source")], block },
    screen,
    programs: layOutImage(folder),
    defaultSources: [],
    signal: AbortSignal.timeout(240_000),
    cluster: { images: { host: [] } },
    inspect,
    async tamper(stage, claim) {
      if (claim !== "files") return;
      const changes = [
        "printf T | dd of=source/altered bs=1 seek=5 conv=notrunc 2>/dev/null",
        "touch -d @1000000000 source/altered",
        "chmod 600 source/deep/other-mode",
        "rm source/deep/removed",
      ];
      await inVolume(stage, claim, changes.join("; "));
    },
  }).catch((error: unknown) => {
    throw new Error(`${error}\n${text}`, { cause: error });
  });
  expect(text).toContain("source/altered: sha256 is");
  expect(text).toContain("source/deep/other-mode: mode is 384 and was 416");
  expect(text).toContain("source/deep/removed: is missing");
  // The byte, its time, the mode, the file.
  expect(text).toMatch(/files: 57 entries, \d+ bytes, 4 differences/);
  expect(text).toMatch(/database: 3 entries, \d+ bytes, 0 differences/);
  expect(text).toMatch(/image: 1 entries, 3145728 bytes, 0 differences/);
  expect(text).toMatch(/database: whole: \d+ rows/);
  expect(text).toContain(
    "NAMESPACE   NAME                       STATUS      STARTED   BYTES DONE   TOTAL BYTES   STORAGE LOCATION   AGE   NODE",
  );
  expect(complete).toBe(false);
}, 300_000);
