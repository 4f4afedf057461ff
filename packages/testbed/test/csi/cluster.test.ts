// Volumes in a whole cluster: pods are processes that write and read them, and a copy is one moment of all that a pod writes.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Cluster } from "../../src/cluster.ts";
import { resources } from "../../src/csi/storage-names.ts";
import {
  eventReasons,
  logOf,
  openCluster,
  phase,
  shell,
  until,
  untilPod,
} from "../kubelet/running-cluster.ts";
import {
  createClaim,
  createKinds,
  createUser,
  cut,
  deletePod,
  from,
  openWithStorage,
  read,
} from "./storage-cluster.ts";

/** Waits for the first number of the writer in the volume that is published now. */
async function written(cluster: Cluster): Promise<void> {
  const target = cluster.csi!.publications()[0]!.targetPath;
  await expect
    .poll(async () => Number(await readFile(join(target, "f39"), "utf8")))
    .toBeGreaterThan(0);
}

describe("volumes of pods", () => {
  it("are written by one, cut, restored, and read by another", async () => {
    const cluster = await openWithStorage({ nodes: 2 });
    createClaim(cluster, "data");
    expect(
      await read(cluster, "writer", "data", "echo before > /data/file; mkdir /data/folder"),
    ).toBe("");
    await cut(cluster, "cut", "data");
    await deletePod(cluster, "writer");
    expect(await read(cluster, "changer", "data", "echo after > /data/file")).toBe("");
    createClaim(cluster, "restored", from("cut"));
    expect(await read(cluster, "reader", "restored", "cat /data/file; ls /data")).toBe(
      "before\nfile\nfolder\n",
    );
  });

  it("may be block devices", async () => {
    const cluster = await openWithStorage();
    createClaim(cluster, "data", { volumeMode: "Block" });
    await read(
      cluster,
      "writer",
      "data",
      "printf before | dd of=/data bs=1 seek=4096 conv=notrunc 2>/dev/null",
      true,
    );
    await cut(cluster, "cut", "data");
    createClaim(cluster, "restored", { volumeMode: "Block", ...from("cut") });
    expect(
      await read(
        cluster,
        "reader",
        "restored",
        "dd if=/data bs=1 skip=4096 count=6 2>/dev/null",
        true,
      ),
    ).toBe("before");
  });

  it("are made where the first pod is, and wait for it", async () => {
    const cluster = await openWithStorage();
    createClaim(cluster, "data", { storageClassName: "late" });
    createUser(cluster, "writer", "data", "echo text > /data/file");
    await untilPod(cluster.api, "writer", phase("Succeeded"));
    const claim = cluster.api.get(resources.claims, "default", "data");
    expect(claim?.status.phase).toBe("Bound");
    expect(claim?.metadata.annotations?.["volume.kubernetes.io/selected-node"]).toBe("node-1");
  });

  it("go with their claim when the last pod is gone", async () => {
    const cluster = await openWithStorage();
    createClaim(cluster, "data");
    createUser(cluster, "user", "data", "exec sleep 600");
    await untilPod(cluster.api, "user", phase("Running"));
    cluster.api.delete(resources.claims, "default", "data");
    expect(cluster.api.get(resources.claims, "default", "data")).toBeDefined();
    await deletePod(cluster, "user");
    await until(cluster.api, resources.volumes, (_, type) => type === "DELETED");
    expect(cluster.csi?.volumes()).toEqual([]);
    expect(cluster.csi?.publications()).toEqual([]);
  });

  it("are copied at one moment, whatever their pod writes", async () => {
    const cluster = await openWithStorage();
    createClaim(cluster, "data");
    // All begin with 0. Each number stands in all files before the next is written to the first.
    const names = Array.from({ length: 40 }, (_, index) => `f${index}`).join(" ");
    // The large files make the copy last longer than many rounds of the writer.
    const fill = "echo 0000000000 > $f; head -c 300000 /dev/zero > large-$f";
    await read(cluster, "filler", "data", `cd /data; for f in ${names}; do ${fill}; done`);
    // A number stands in all files before the next is written to the first.
    const script = `
      const fs = require("node:fs");
      const files = "${names}".split(" ").map((name) => fs.openSync("/data/" + name, "r+"));
      for (let round = 1; ; round++)
        for (const file of files) fs.writeSync(file, String(round).padStart(10, "0"), 0);`;
    createUser(cluster, "writer", "data", "", {
      containers: [
        {
          ...shell(""),
          image: "node",
          args: ["-e", script],
          volumeMounts: [{ name: "v", mountPath: "/data" }],
        },
      ],
    });
    await untilPod(cluster.api, "writer", phase("Running"));
    await written(cluster);
    for (const name of ["one", "two", "three"]) {
      await cut(cluster, name, "data");
      createClaim(cluster, name, from(name));
      const text = await read(
        cluster,
        `reader-${name}`,
        name,
        `cd /data; for f in ${names}; do cat $f; done`,
      );
      const numbers = text.trim().split("\n").map(Number);
      expect(numbers).toHaveLength(40);
      const [first] = numbers;
      const change = numbers.findIndex((each) => each !== first);
      const tail = change === -1 ? [] : numbers.slice(change);
      expect(first).toBeGreaterThan(0);
      expect(new Set(tail)).toEqual(new Set(change === -1 ? [] : [first! - 1]));
    }
  });
});

describe("a cluster with a directory", () => {
  it("has claims, volume snapshots and all bytes when it is started again", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-cluster-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const options = { directory, csi: { canMount: false } };
    const first = await openCluster(options);
    createKinds(first);
    createClaim(first, "data");
    await read(first, "writer", "data", "echo before > /data/file");
    await cut(first, "cut", "data");
    createUser(first, "user", "data", "exec sleep 600");
    await untilPod(first.api, "user", phase("Running"));
    await first.close();

    const second = await openCluster(options);
    const claim = second.api.get(resources.claims, "default", "data");
    expect(claim?.status.phase).toBe("Bound");
    expect(second.csi?.volumes()).toHaveLength(1);
    createClaim(second, "restored", from("cut"));
    expect(await read(second, "reader", "restored", "cat /data/file")).toBe("before\n");
    // What ran when the cluster went does not keep its volume.
    await deletePod(second, "user");
    await deletePod(second, "writer");
    second.api.delete(resources.claims, "default", "data");
    await until(second.api, resources.volumes, (_, type) => type === "DELETED");
    expect(second.csi?.volumes()).toHaveLength(1);
  });
});

describe("pods whose volumes fail", () => {
  it("say that it cannot be attached, and start when it can", async () => {
    const cluster = await openWithStorage();
    createClaim(cluster, "data");
    const off = cluster.csi!.faults.add({
      operation: "publish",
      of: "default/data",
      error: "no path",
    });
    createUser(cluster, "user", "data", "true");
    await until(cluster.api, "events", (event) => event["reason"] === "FailedMount");
    expect(cluster.api.get("pods", "default", "user")?.status.phase).toBe("Pending");
    off();
    await untilPod(cluster.api, "user", phase("Succeeded"));
  });

  it("say that the volume is too full for labels, in the words of a container runtime", async () => {
    const cluster = await openWithStorage();
    createClaim(cluster, "data");
    cluster.csi!.faults.add({ operation: "publish", relabelFails: true });
    createUser(cluster, "user", "data", "true");
    const pod = await untilPod(
      cluster.api,
      "user",
      (one) => one.status?.containerStatuses?.[0]?.state.waiting?.reason === "CreateContainerError",
    );
    const { volumeName } = cluster.api.get(resources.claims, "default", "data")!.spec;
    const { message } = pod.status.containerStatuses[0].state.waiting;
    expect(message).toMatch(/^relabel failed .*: lsetxattr .*: no space left on device$/);
    expect(message).toContain(`/volumes/kubernetes.io~csi/${volumeName}/mount`);
    expect(eventReasons(cluster.api, "user")).toContain("Failed");
  });
});

describe("a node that fails", () => {
  it("loses its volumes to pods on other nodes, after the time that the cluster waits", async () => {
    const cluster = await openWithStorage({ nodes: 2, longestUnmountMs: 200 });
    createClaim(cluster, "data");
    createUser(cluster, "first", "data", "echo text > /data/file; echo written; exec sleep 600");
    const { nodeName } = (await untilPod(cluster.api, "first", phase("Running"))).spec;
    await expect.poll(() => logOf(cluster, "first")).toBe("written\n");
    await cluster.node(nodeName).fail();
    // What a person does who knows that the node is lost.
    cluster.api.delete("pods", "default", "first", { gracePeriodSeconds: 0 });
    const other = nodeName === "node-1" ? "node-2" : "node-1";
    const script = "cat /data/file";
    createUser(cluster, "second", "data", script, { nodeName: other });
    await untilPod(cluster.api, "second", phase("Succeeded"));
    expect(await logOf(cluster, "second")).toBe("text\n");
  });
});
