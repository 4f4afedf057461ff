// Which operating system a volume needs, where the node agent runs on both.
import { dataUploads, type PersistentVolumeClaim } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ExposerContext } from "../../src/expose/exposer-context.ts";
import { exposureOf } from "../../src/expose/exposure.ts";
import { nodeOSOf } from "../../src/expose/node-os.ts";
import { dataUpload } from "./samples.ts";
import { createWorld, storageGroup, type World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
  for (const os of ["linux", "windows"])
    world.api.create("nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: `${os}-1`, labels: { "kubernetes.io/os": os } },
    });
  world.api.create("storageclasses.storage.k8s.io", {
    apiVersion: storageGroup,
    kind: "StorageClass",
    metadata: { name: "ntfs" },
    provisioner: "fake",
    parameters: { "csi.storage.k8s.io/fstype": "NTFS" },
  });
  world.api.create("volumeattachments.storage.k8s.io", {
    apiVersion: storageGroup,
    kind: "VolumeAttachment",
    metadata: { name: "a" },
    spec: {
      attacher: "fake",
      nodeName: "windows-1",
      source: { persistentVolumeName: "attached" },
    },
  });
});
afterEach(() => world[Symbol.asyncDispose]());

function osOf(
  source: Partial<PersistentVolumeClaim["spec"]> | undefined,
  options: {
    readonly node?: string;
    readonly storageClass?: string;
    readonly mixed?: boolean;
  } = {},
): Promise<string> {
  const { node, storageClass = "fast", mixed = true } = options;
  const context: ExposerContext = {
    ...world.context,
    windowsTemplate: mixed ? world.context.template : undefined,
  };
  const exposure = exposureOf(context, dataUploads, dataUpload());
  const annotations = node === undefined ? {} : { "volume.kubernetes.io/selected-node": node };
  const claim = source && { metadata: { annotations }, spec: source };
  return nodeOSOf(exposure, { source: claim, storageClass }, {});
}

describe("the operating system of a volume", () => {
  it("is that of the node that has it, before the one chosen for it", async () => {
    expect(await osOf({ volumeName: "attached" }, { node: "linux-1" })).toBe("windows");
    expect(await osOf({ volumeName: "other" }, { node: "windows-1" })).toBe("windows");
    expect(await osOf({ volumeName: "other" }, { node: "linux-1", storageClass: "ntfs" })).toBe(
      "linux",
    );
  });

  it("is told by the file system when no node is known", async () => {
    expect(await osOf({ volumeName: "other" }, { storageClass: "ntfs" })).toBe("windows");
    expect(await osOf({ volumeName: "other" }, { node: "gone", storageClass: "ntfs" })).toBe(
      "windows",
    );
    expect(await osOf({ volumeName: "other" })).toBe("linux");
  });

  it("is Linux for block volumes, for lost sources, and where no node agent runs on Windows", async () => {
    expect(await osOf({ volumeName: "attached", volumeMode: "Block" })).toBe("linux");
    expect(await osOf(undefined, { storageClass: "ntfs" })).toBe("linux");
    expect(await osOf({ volumeName: "attached" }, { mixed: false })).toBe("linux");
  });
});
