/**
 * All that makes storage work in the embedded cluster: binder, provisioner, attachments, resizer, snapshots and protection, around one driver.
 * Proof: test/csi/storage.test.ts, test/csi/simulation.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { RunningController } from "../controllers/controller.ts";
import { startAttachController } from "./attach-controller.ts";
import type { CsiDriver } from "./csi-driver.ts";
import { startProtection } from "./protection.ts";
import { startProvisioner } from "./provisioner.ts";
import { startResizer } from "./resizer.ts";
import { startSnapshotController } from "./snapshot-controller.ts";
import { watchSnapshotKinds } from "./snapshot-watch.ts";
import { startSnapshotter } from "./snapshotter.ts";
import { resources } from "./storage-names.ts";
import { startVolumeBinder } from "./volume-binder.ts";

export interface StorageOptions {
  readonly api: ClusterApi;
  /** The caller's: it lives longer than the controllers, and is closed after the kubelets. */
  readonly driver: CsiDriver;
  readonly logger?: Logger | undefined;
  /** How long a kubelet may take to give a volume back before it is taken from its node. Default 6 minutes. */
  readonly longestUnmountMs?: number | undefined;
}

export interface RunningStorage extends AsyncDisposable {
  /** Ends the controllers; resolves when what they were doing is done. */
  close(): Promise<void>;
}

/** @example const storage = startStorage({ api, driver: await CsiDriver.open({ clock }) }); */
export function startStorage(options: StorageOptions): RunningStorage {
  const { api, driver, logger, longestUnmountMs } = options;
  registerDriver(api, driver);
  const snapshots = watchSnapshotKinds(api);
  const controllers: RunningController[] = [
    startVolumeBinder({ api, logger }),
    startProtection({ api, logger }),
    startProvisioner({ api, driver, snapshots, logger }),
    startAttachController({ api, driver, logger, longestUnmountMs }),
    startResizer({ api, driver, logger }),
    startSnapshotController({ api, snapshots, logger }),
    startSnapshotter({ api, driver, snapshots, logger }),
  ];
  const close = async (): Promise<void> => {
    snapshots.close();
    await Promise.all(controllers.map((each) => each.close()));
  };
  return { close, [Symbol.asyncDispose]: close };
}

/** What a driver's node part does on a real cluster. */
function registerDriver(api: ClusterApi, { name }: CsiDriver): void {
  if (api.get(resources.drivers, "", name)) return;
  api.create(resources.drivers, {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    metadata: { name },
    spec: {
      attachRequired: true,
      podInfoOnMount: false,
      fsGroupPolicy: "File",
      seLinuxMount: false,
    },
  });
}
