// Where a pod's volume lies on its node: every row of the rules, and a directory tree laid out as a kubelet does.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  findHostPath,
  hostPathGlob,
  hostPathPattern,
  hostPodsProblem,
  kubeletPodUid,
  type PodVolumeSource,
} from "../../src/expose/host-path.ts";

const rows: readonly (readonly [string, PodVolumeSource, string])[] = [
  [
    "a CSI volume",
    { volumeName: "v", volumeMode: "Filesystem", persistentVolume: { name: "pv", csi: true } },
    "/host_pods/u/volumes/*/pv/mount",
  ],
  [
    "a CSI block volume",
    { volumeName: "v", volumeMode: "Block", persistentVolume: { name: "pv", csi: true } },
    "/host_pods/u/volumeDevices/*/pv",
  ],
  [
    "an in-tree volume served by CSI",
    {
      volumeName: "v",
      volumeMode: "Filesystem",
      persistentVolume: {
        name: "pv",
        annotations: { "pv.kubernetes.io/migrated-to": "ebs.csi.aws.com" },
      },
    },
    "/host_pods/u/volumes/*/pv/mount",
  ],
  [
    "an in-tree volume",
    { volumeName: "v", volumeMode: "Filesystem", persistentVolume: { name: "pv" } },
    "/host_pods/u/volumes/*/pv",
  ],
  [
    "an inline CSI volume",
    { volumeName: "v", volumeMode: "Filesystem", inlineCsi: true },
    "/host_pods/u/volumes/*/v/mount",
  ],
  ["an emptyDir", { volumeName: "v", volumeMode: "Filesystem" }, "/host_pods/u/volumes/*/v"],
];

describe("the path of a pod's volume on its node", () => {
  it.each(rows)("of %s", (_name, source, glob) => {
    expect(hostPathGlob("u", hostPathPattern(source))).toBe(glob);
  });

  it.each(["0123456789abcdef0123456789abcdef", "7a1d3f0e-52c8-4a7e-9d0b-0123456789ab"])(
    "goes by the uid of the static pod behind a mirror pod: %s",
    (uid) => {
      expect(kubeletPodUid({ metadata: { uid: "api" } })).toBe("api");
      const annotations = { "kubernetes.io/config.mirror": uid };
      expect(kubeletPodUid({ metadata: { uid: "api", annotations } })).toBe(uid);
    },
  );

  it.each(["../../elsewhere", "..", "", "static", "a/b"])(
    "never by an annotation that could mean another path: %j",
    (text) => {
      const annotations = { "kubernetes.io/config.mirror": text };
      expect(kubeletPodUid({ metadata: { uid: "api", annotations } })).toBe("api");
    },
  );

  it("is judged by whether every running pod has a directory", () => {
    expect(hostPodsProblem(["a", "b"], ["b", "a", "c"])).toBeUndefined();
    expect(hostPodsProblem(["a", "b"], ["b"])).toMatch(/^unexpected directory structure/);
  });
});

describe("looking for the path", () => {
  let root: string;
  const csi = hostPathPattern({
    volumeName: "data",
    volumeMode: "Filesystem",
    persistentVolume: { name: "pvc-1", csi: true },
  });

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "dm-host-pods-"));
    await mkdir(join(root, "one/volumes/kubernetes.io~csi/pvc-1/mount"), { recursive: true });
    await mkdir(join(root, "one/volumes/kubernetes.io~secret/token"), { recursive: true });
    await mkdir(join(root, "one/volumeDevices/kubernetes.io~csi"), { recursive: true });
    await writeFile(join(root, "one/volumeDevices/kubernetes.io~csi/pvc-2"), "");
    await mkdir(join(root, "two/volumes/a/pvc-1/mount"), { recursive: true });
    await mkdir(join(root, "two/volumes/b/pvc-1/mount"), { recursive: true });
    await mkdir(join(root, "three/volumes/a/pvc-1"), { recursive: true });
  });
  afterAll(() => rm(root, { recursive: true }));

  it("finds the mounted volume and the device", async () => {
    expect(await findHostPath("one", csi, root)).toBe(
      join(root, "one/volumes/kubernetes.io~csi/pvc-1/mount"),
    );
    const block = { kind: "volumeDevices", directory: "pvc-2", mount: false } as const;
    expect(await findHostPath("one", block, root)).toBe(
      join(root, "one/volumeDevices/kubernetes.io~csi/pvc-2"),
    );
  });

  it.each([
    ["two plugins have it", "two", 2],
    ["nothing is mounted", "three", 0],
    ["the pod is not of this node", "nowhere", 0],
  ])("refuses when %s", async (_name, uid, count) => {
    await expect(findHostPath(uid, csi, root)).rejects.toMatchObject({
      code: "DM_HOST_PATH_NOT_FOUND",
      message: `expected one matching path: ${root}/${uid}/volumes/*/pvc-1/mount, got ${count}`,
    });
  });
});
