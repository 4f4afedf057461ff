// Volumes in a whole cluster as root: pods on loop devices and mounted file systems, and nothing of them left on the machine.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Cluster } from "../../src/cluster.ts";
import { loopDevicesUnder, mountsUnder } from "../../src/csi/loop-device.ts";
import { resources } from "../../src/csi/storage-names.ts";
import type { Json } from "../../src/kube-object.ts";
import { eventReasons, logOf, phase, until, untilPod } from "../kubelet/running-cluster.ts";
import {
  createClaim,
  createUser,
  cut,
  deletePod,
  from,
  openWithStorage,
  read,
} from "./storage-cluster.ts";

const root = requirePeer("root");

/** In a folder that the test looks through after the cluster is gone. */
async function openAsRoot(options: Json = {}): Promise<Cluster> {
  const directory = await mkdtemp(join(tmpdir(), "csi-cluster-"));
  onTestFinished(async () => {
    expect(await leftovers(directory)).toEqual([]);
    await rm(directory, { recursive: true });
  });
  return openWithStorage({ directory, csi: { canMount: true }, ...options });
}

async function leftovers(directory: string): Promise<string[]> {
  const devices = await loopDevicesUnder(directory);
  return [...devices.map(({ device }) => device), ...(await mountsUnder(directory))];
}

describe.skipIf(!root.available || process.platform !== "linux")(
  root.title("volumes of pods"),
  () => {
    it("are devices, copied while a pod has them open", async () => {
      const cluster = await openAsRoot();
      createClaim(cluster, "data", { volumeMode: "Block" });
      // Writes, and keeps the device open: what it wrote is only in memory.
      const script =
        'exec 3<>/data; printf before >&3; echo "$(stat -Lc %F /data)"; exec sleep 600';
      createUser(cluster, "writer", "data", script, {}, true);
      await untilPod(cluster.api, "writer", phase("Running"));
      await expect.poll(() => logOf(cluster, "writer")).toBe("block special file\n");
      await cut(cluster, "cut", "data");
      createClaim(cluster, "restored", { volumeMode: "Block", ...from("cut") });
      expect(await read(cluster, "reader", "restored", "head -c 6 /data", true)).toBe("before");
      expect(await leftovers(cluster.directory)).not.toEqual([]);
    });

    it("are file systems as large as they say, seen by several pods of a node", async () => {
      const cluster = await openAsRoot();
      createClaim(cluster, "data", { storageClassName: "ext4" });
      const fill = "echo text > /data/file; head -c 100M /dev/zero > /data/large || echo full";
      expect(await read(cluster, "writer", "data", fill)).toContain("full\n");
      createUser(cluster, "user", "data", "exec sleep 600");
      await untilPod(cluster.api, "user", phase("Running"));
      expect(await read(cluster, "reader", "data", "cat /data/file; stat -fc %T /data")).toBe(
        "text\next2/ext3\n",
      );
      // Not closed by the test: the cluster ends with a pod that has it mounted.
    });

    it("cannot be labelled when they are full XFS, until the pod writes no labels", async () => {
      const cluster = await openAsRoot();
      createClaim(cluster, "data", { storageClassName: "xfs" });
      const fill = "dd if=/dev/zero of=/data/large bs=4k conv=fsync 2>/dev/null; true";
      await read(cluster, "writer", "data", fill);
      await cut(cluster, "cut", "data");
      const resources = { requests: { storage: "300Mi" } };
      createClaim(cluster, "restored", { storageClassName: "xfs", resources, ...from("cut") });
      createUser(cluster, "reader", "restored", "true");
      await untilPod(cluster.api, "reader", (pod) =>
        /relabel failed/.test(pod.status?.containerStatuses?.[0]?.state.waiting?.message ?? ""),
      );
      expect(eventReasons(cluster.api, "reader")).toContain("Failed");
      await deletePod(cluster, "reader");
      const securityContext = { seLinuxOptions: { type: "spc_t" } };
      createUser(cluster, "unlabelled", "restored", "true", { securityContext });
      await untilPod(cluster.api, "unlabelled", phase("Succeeded"));
    });

    it("go to another node when theirs is gone", async () => {
      const cluster = await openAsRoot({ nodes: 2 });
      createClaim(cluster, "data", { storageClassName: "ext4" });
      createUser(cluster, "first", "data", "echo text > /data/file; echo written; exec sleep 600");
      const { nodeName } = (await untilPod(cluster.api, "first", phase("Running"))).spec;
      await expect.poll(() => logOf(cluster, "first")).toBe("written\n");
      await cluster.removeNode(nodeName);
      await until(cluster.api, resources.attachments, (_, type) => type === "DELETED");
      expect(cluster.csi?.publications()).toEqual([]);
      expect(await read(cluster, "second", "data", "cat /data/file")).toBe("text\n");
    });
  },
);
