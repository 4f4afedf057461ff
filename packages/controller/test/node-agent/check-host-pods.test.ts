/** A node agent that sees another directory than the kubelet's does not start. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Pod, pods } from "@dm/crds";
import { afterEach, beforeEach, expect, it } from "vitest";
import { checkHostPods } from "../../src/node-agent/check-host-pods.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "dm-host-pods-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const pod = (uid: string, phase = "Running", annotations = {}): Pod => ({
  metadata: { name: uid, namespace: "shop", uid, annotations },
  spec: { containers: [], nodeName: "n1" },
  status: { phase },
});

const clientOf = (...items: Pod[]): Pick<KubeClient, "list"> => ({
  list: (async (resource: unknown, options: { fieldSelector?: string }) => {
    expect([resource, options.fieldSelector]).toEqual([pods, "spec.nodeName=n1"]);
    return { items };
  }) as unknown as KubeClient["list"],
});

it("is content when every pod that runs has a directory", async () => {
  const staticUid = "0123456789abcdef0123456789abcdef";
  for (const uid of ["a", staticUid]) await mkdir(join(root, uid));
  const mirror = pod("b", "Running", { "kubernetes.io/config.mirror": staticUid });
  const client = clientOf(pod("a"), mirror, pod("c", "Pending"), pod("d", "Succeeded"));
  await checkHostPods(client, { node: "n1", root });
});

it("refuses a directory of something else", async () => {
  await mkdir(join(root, "plugins"));
  await expect(checkHostPods(clientOf(pod("a")), { node: "n1", root })).rejects.toMatchObject({
    code: "DM_HOST_PODS_MISMATCH",
    message: expect.stringContaining("unexpected directory structure for host-pods volume"),
  });
});

it("says that there is no directory", async () => {
  const missing = join(root, "missing");
  await expect(checkHostPods(clientOf(), { node: "n1", root: missing })).rejects.toMatchObject({
    code: "DM_HOST_PODS_UNREADABLE",
    message: expect.stringContaining("ENOENT"),
  });
});
