/**
 * Volumes that are made on the node of their first consumer, and reach nowhere else: an application on such a class comes back by the
 * data mover, although its volumes wait for its pods and its pods for their volumes.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeObject } from "@dm/crds";
import { afterAll, beforeAll, expect, it } from "vitest";
import { applyObjects } from "../src/demo/install.ts";
import type { SetUp } from "../src/demo/set-up.ts";
import { prove } from "../src/proof.ts";
import { Shop } from "./application.ts";
import { backUp, nothingLeft, openBackupScene, restore } from "./backup-scene.ts";
import { layOutImage } from "./programs.ts";

let folder = "";
let scene: SetUp;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-first-consumer-"));
  const signal = AbortSignal.timeout(170_000);
  scene = await openBackupScene({ programs: layOutImage(folder), signal });
}, 60_000);
afterAll(async () => {
  await scene?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

it("come back where their pods are", { timeout: 150_000 }, async () => {
  const { embedded, stage } = scene;
  const { api, csi } = embedded.cluster;
  const storageClass = {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "local" },
    provisioner: csi?.name,
    reclaimPolicy: "Delete",
    volumeBindingMode: "WaitForFirstConsumer",
    parameters: { topologyKey: "kubernetes.io/hostname" },
  } as KubeObject;
  await applyObjects(stage.client, [storageClass], stage);
  writeFileSync(join(folder, "image"), randomBytes(1 << 20));
  const shop = new Shop(scene, "shop");
  await shop.install(join(folder, "image"), { storageClass: "local" });
  await shop.addRows("an order");
  const spec = { includedNamespaces: ["shop"], snapshotMoveData: true };
  expect(await backUp(scene, "local", spec)).toMatchObject({ phase: "Completed" });
  const before = { objects: shop.objects(), application: await shop.look() };
  await shop.destroy();
  expect(await restore(scene, "back", { backupName: "local" })).toMatchObject({
    phase: "Completed",
    restoreItemOperationsCompleted: 2,
  });
  const after = await shop.look();
  expect(after.answer).toEqual(before.application.answer);
  expect(prove(before.application.files, after.files).differences).toEqual([]);
  expect(prove(before.application.device, after.device).differences).toEqual([]);
  expect(shop.objects()).toEqual(before.objects);
  const homes = api.list("pods", "shop").map((pod) => {
    const names = (pod.spec.volumes ?? []).flatMap(
      (volume: { persistentVolumeClaim?: { claimName: string } }) =>
        volume.persistentVolumeClaim?.claimName ?? [],
    );
    const claim = api.get("persistentvolumeclaims", "shop", names[0] ?? "");
    const volume = api.get("persistentvolumes", "", claim?.spec.volumeName ?? "");
    const [term] = volume?.spec.nodeAffinity.required.nodeSelectorTerms ?? [];
    return [pod.spec.nodeName, term?.matchExpressions[0]?.values[0]];
  });
  expect(homes).toHaveLength(2);
  for (const [node, home] of homes) expect(home).toBe(node);
  await nothingLeft(scene);
  expect(embedded.cluster.server.denied).toEqual([]);
});
