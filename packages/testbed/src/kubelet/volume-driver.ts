/**
 * What the kubelet asks of a CSI driver: that a bound volume appears under a pod's directory, and goes again; and what the
 * kubelet offers a driver: to hold still those who write to a volume, while it is copied.
 * Proof: test/kubelet/volumes.test.ts.
 * @module
 */
import type { StoredObject } from "../kube-object.ts";

/** Where one volume of one pod is. Enough to take it away again after a crash, when claim and pod may be gone. */
export interface VolumeTarget {
  /** Name of the PersistentVolume. */
  readonly volumeName: string;
  readonly podUid: string;
  readonly nodeName: string;
  readonly volumeMode: "Filesystem" | "Block";
  /**
   * Where hosts look for it: `<nodeRoot>/var/lib/kubelet/pods/<uid>/volumes/kubernetes.io~csi/<pv>/mount`, or
   * `…/volumeDevices/kubernetes.io~csi/<pv>`. Its parent exists; the driver makes the last name: a mount point, or a symbolic
   * link to a directory, image file or device.
   */
  readonly targetPath: string;
}

export interface PublishRequest extends VolumeTarget {
  readonly claim: StoredObject;
  readonly volume: StoredObject;
  readonly pod: StoredObject;
  /** The pod asked for the whole volume read-only (`persistentVolumeClaim.readOnly`) or the claim has only ReadOnlyMany. */
  readonly readOnly: boolean;
}

export interface PublishedVolume {
  /** What the pod's processes open: a directory (Filesystem), an image file or a device (Block). `targetPath` will do, too. */
  readonly path: string;
}

/**
 * Both calls may be repeated at any time (a kubelet that came back repeats them) and then answer as the first time. A refusal
 * is thrown; its message becomes the pod's event `FailedMount` or `FailedMapVolume`, and the kubelet tries again with backoff.
 */
export interface VolumeDriver {
  publish(
    request: PublishRequest,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<PublishedVolume>;
  /** The pod's processes have ended. */
  unpublish(target: VolumeTarget): Promise<void>;
}

/** For drivers that copy directory trees, which is not at one point in time unless nobody writes. */
export interface VolumeWriters {
  /**
   * Stops (SIGSTOP) every process of every pod on every node that has the volume mounted writably; resolves when they stand
   * still. Processes that would start while it is frozen wait for the thaw. Call the result once the copy is made; calling it
   * again does nothing.
   */
  freeze(volumeName: string): Promise<() => void>;
}
