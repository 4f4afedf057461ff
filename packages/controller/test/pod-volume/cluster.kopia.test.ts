// The real kopia on what a PodVolumeBackup on the embedded cluster left: it lists the snapshot under Velero's source with its tags,
// verifies it and restores the files.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Pod } from "@dm/crds";
import { requirePeer } from "@dm/fixtures";
import { veleroDefaultPassword } from "@dm/snapshot/velero";
import { describe, expect, it } from "vitest";
import { newPodVolumeBackup } from "../../src/pod-volume/index.ts";
import { location, operator, PodVolumeWorld } from "./pod-volume-world.ts";

const kopia = requirePeer("kopia");
const run = promisify(execFile);

describe.skipIf(!kopia.available)(kopia.title("a volume that was backed up by its files"), () => {
  it("is a snapshot of Velero's", { timeout: 120_000 }, async () => {
    await using world = await PodVolumeWorld.start(["shop"]);
    await world.makeRepository("shop");
    world.startAgent();
    const made: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "db-0", namespace: "shop" },
      spec: {
        initContainers: [
          {
            name: "fill",
            image: "sh:1",
            args: ["printf kept > /data/file"],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
        containers: [
          {
            name: "db",
            image: "sh:1",
            args: ["exec sleep 600"],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
        volumes: [{ name: "data", emptyDir: {} }],
      },
    };
    await world.pod(made);
    const pod = await world.running("shop", "db-0");
    const [volume] = made.spec.volumes ?? [];
    const backup = { metadata: { name: "nightly", namespace: operator, uid: "backup-uid" } };
    if (volume === undefined) throw new Error("no volume");
    const { metadata, ...rest } = newPodVolumeBackup({ backup, pod, volume, location });
    const object = { ...rest, metadata: { ...metadata, ownerReferences: [] } };
    world.make("podvolumebackups.velero.io", object);
    const status = await world.ended("PodVolumeBackup", metadata.name ?? "");
    expect(status).toMatchObject({ phase: "Completed" });

    const says = async (...parameters: string[]): Promise<string> => {
      const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
      const config = `--config-file=${join(world.folder, "kopia.config")}`;
      const env = {
        PATH: process.env["PATH"],
        HOME: world.folder,
        KOPIA_PASSWORD: veleroDefaultPassword,
        KOPIA_CHECK_FOR_UPDATES: "false",
      };
      const { stdout } = await run(kopia.path, [...flags, config, ...parameters], { env });
      return stdout;
    };
    await says(
      ...["repository", "connect", "filesystem", "--path", join(world.folder, "store/kopia/shop")],
      ...["--override-hostname=default", "--override-username=default"],
    );
    expect(JSON.parse(await says("snapshot", "list", "--all", "--json"))).toMatchObject([
      {
        id: status?.["snapshotID"],
        source: {
          host: "default",
          userName: "default",
          path: "snapshot-pod-volume/kopia/shop/db-0/data",
        },
        description: "Kopia Uploader",
        pins: ["velero-pin"],
        tags: {
          "snapshot-requester": "snapshot-pod-volume",
          "snapshot-uploader": "kopia",
          backup: "nightly",
          pod: "db-0",
          ns: "shop",
          volume: "data",
        },
      },
    ]);
    await says("snapshot", "verify", "--verify-files-percent=100");
    const target = join(world.folder, "restored");
    await says("restore", String(status?.["snapshotID"]), target);
    expect(await readFile(join(target, "file"), "utf8")).toBe("kept");
  });
});
