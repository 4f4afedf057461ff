// Exposing a volume for a restore, on the embedded API server with a storage that is steered: the claim beside the target, the pod
// that holds it, what is waited for and refused, and what clean-up leaves.
import type { DataDownload } from "@dm/crds";
import type { StoredObject } from "@dm/testbed";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RestoreExposer } from "../../src/expose/exposer.ts";
import type { ExposerContext } from "../../src/expose/exposer-context.ts";
import { genericRestoreExposer } from "../../src/expose/generic-restore-exposer.ts";
import { namespace } from "./samples.ts";
import { createWorld, downloadOf, drive, fresh, type World } from "./world.ts";

const claims = "persistentvolumeclaims";
const name = "restore-1";
const selectedNode = "volume.kubernetes.io/selected-node";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

function exposerOf(download: DataDownload, context: Partial<ExposerContext> = {}): RestoreExposer {
  return fresh(() => genericRestoreExposer({ ...world.context, ...context }, download));
}

function found(resource: string, objectName = name, inNamespace = namespace): StoredObject {
  const object = world.api.get(resource, inNamespace, objectName);
  if (object === undefined) throw new Error(`no ${resource} ${objectName}`);
  return object;
}

describe("exposing", () => {
  it("row 80: makes a claim like the target, and a pod that holds it", async () => {
    const download = downloadOf(world);
    const exposer = exposerOf(download);
    await drive(world, exposer.expose);
    const claim = found(claims);
    const { uid } = download.metadata;
    expect(claim.metadata.ownerReferences).toEqual([
      { apiVersion: "velero.io/v2alpha1", kind: "DataDownload", name, uid, controller: true },
    ]);
    expect(claim.metadata.labels).toEqual({ app: "db" });
    expect(claim.spec.selector).toBeUndefined();
    expect(claim.spec.resources).toEqual({ requests: { storage: "2Gi" } });
    const pod = found("pods");
    expect(pod.metadata.labels?.["velero.io/data-download"]).toBe(name);
    expect(pod.spec.containers[0].args.slice(0, 2)).toEqual(["mover", "restore"]);
    expect(await exposer.exposed()).toMatchObject({ podName: name, path: `/${uid}` });
    expect(found(claims, "db", "shop").status.phase).toBe("Pending");
  });

  it("row 81: follows the node that the target's first consumer was given", async () => {
    world.api.create("nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "node-7", labels: { "kubernetes.io/hostname": "host-7" } },
    });
    const download = downloadOf(world, { claim: { storageClassName: "lazy" } });
    const exposer = exposerOf(download);
    expect(await exposer.expose()).toEqual({
      done: false,
      reason:
        "wait target PVC consumed, shop/db: its storage class waits for the first pod that uses it, and there is none",
    });
    expect(world.leftovers()).toEqual([]);
    world.api.modify(claims, "shop", "db", (stored) => {
      stored.metadata.annotations = { [selectedNode]: "node-7" };
    });
    await drive(world, exposer.expose);
    expect(found(claims).metadata.annotations?.[selectedNode]).toBe("node-7");
    expect(found(claims).metadata.labels).toBeUndefined();
    expect(found("pods").spec.nodeSelector).toEqual({ "kubernetes.io/hostname": "host-7" });
    expect(await exposer.exposed()).toBeDefined();
  });

  it("row 82: does not wait for a consumer when told so", async () => {
    const download = downloadOf(world, { claim: { storageClassName: "lazy" } });
    const settings = { restorePVC: { ignoreDelayBinding: true } };
    const exposer = exposerOf(download, { settings });
    await drive(world, exposer.expose);
    expect(found("pods").spec.nodeSelector).toBeUndefined();
    expect(await exposer.exposed()).toMatchObject({ nodeName: "node-1" });
  });

  it("row 15: has a block volume as a device", async () => {
    const download = downloadOf(world, { claim: { volumeMode: "Block" } });
    const exposer = exposerOf(download);
    await drive(world, exposer.expose);
    expect(found(claims).spec.volumeMode).toBe("Block");
    expect(await exposer.exposed()).toMatchObject({ volumeMode: "Block" });
  });

  it("has a claim for the cache when that is configured and worth it", async () => {
    const settings = { cachePVC: { storageClass: "fast", residentThresholdInMB: 100 } };
    const small = downloadOf(world, { spec: { snapshotSize: 1000 } });
    await drive(world, exposerOf(small, { settings }).expose);
    expect(world.api.get(claims, namespace, `${name}-cache`)).toBeUndefined();
    await drive(world, exposerOf(small).cleanUp);
    const large = { ...small, spec: { ...small.spec, snapshotSize: 2 ** 30 } };
    const exposer = exposerOf(large, { settings, cacheLimitMB: 1024 });
    await drive(world, exposer.expose);
    expect(found(claims, `${name}-cache`).spec.resources.requests.storage).toBe("2Gi");
    expect(found("pods").spec.containers[0].args).toContain("--cache-volume-path=/cache");
    expect(await exposer.exposed()).toBeDefined();
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
  });

  it("makes the pod again over the same claim when it was removed", async () => {
    const download = downloadOf(world);
    const exposer = exposerOf(download);
    await drive(world, exposer.expose);
    const claim = found(claims).metadata.uid;
    const pod = found("pods").metadata.uid;
    await drive(world, exposer.removePod);
    await drive(world, exposer.expose);
    expect(found(claims).metadata.uid).toBe(claim);
    expect(found("pods").metadata.uid).not.toBe(pod);
  });
});

describe("refusing", () => {
  it("row 83: a target that has a volume, which stays as it is", async () => {
    const download = downloadOf(world, { claim: { selector: undefined } });
    world.csi.settle();
    const before = found(claims, "db", "shop");
    expect(before.status.phase).toBe("Bound");
    const exposer = exposerOf(download);
    await expect(exposer.expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_TARGET_BOUND",
      message: "Target PVC shop/db has already been bound, abort",
    });
    await drive(world, exposer.cleanUp);
    expect(found(claims, "db", "shop")).toEqual(before);
    expect(world.csi.storedVolumes.size).toBe(1);
    expect(world.leftovers()).toEqual([]);
  });

  it("row 86: a target that is not there any more", async () => {
    const download = downloadOf(world);
    world.api.delete(claims, "shop", "db");
    world.csi.settle();
    await expect(exposerOf(download).expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_TARGET_NOT_FOUND",
      message: "error to wait target PVC consumed, shop/db: it is not there",
    });
  });

  it("a volume of Windows where no node agent runs on Windows", async () => {
    const download = downloadOf(world, { spec: { nodeOS: "windows" } });
    await expect(exposerOf(download).expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_NODE_OS",
      message: expect.stringMatching(
        /^no appropriate node to run datadownload velero\/restore-1: /,
      ),
    });
  });
});

describe("row 90: clean-up", () => {
  it.each(["fast", "kept"])(
    "leaves nothing of a restore that did not end, class %s",
    async (storageClassName) => {
      const download = downloadOf(world, { claim: { storageClassName } });
      const exposer = exposerOf(download);
      await drive(world, exposer.cleanUp);
      await drive(world, exposer.expose);
      await drive(world, exposer.cleanUp);
      world.csi.settle();
      expect(world.leftovers()).toEqual([]);
      expect(world.csi.storedVolumes.size).toBe(0);
      expect(found(claims, "db", "shop").spec.volumeName).toBeUndefined();
    },
  );

  it("leaves objects of others that have its names", async () => {
    const download = downloadOf(world);
    world.api.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace },
      spec: { containers: [{ name: "a", image: "a" }] },
    });
    await expect(exposerOf(download).expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_FOREIGN_OBJECT",
    });
    await drive(world, exposerOf(download).cleanUp);
    expect(world.leftovers()).toEqual([`pods/${name}`]);
  });
});
