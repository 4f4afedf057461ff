// Storage and kubelet in a few rules, which act only when told to (`settle`) and can be steered: what CSI's sidecars, the volume
// binder, the scheduler, the kubelet and protection finalizers do to the objects that exposers make. What is in the storage is a map.
import type { ClusterApi, StoredObject } from "@dm/testbed";

const claims = "persistentvolumeclaims";
const volumes = "persistentvolumes";
const snapshots = "volumesnapshots.snapshot.storage.k8s.io";
const contents = "volumesnapshotcontents.snapshot.storage.k8s.io";
const classes = "storageclasses.storage.k8s.io";
const protection = {
  claim: "kubernetes.io/pvc-protection",
  volume: "kubernetes.io/pv-protection",
  snapshot: "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
  content: "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection",
};
const selectedNode = "volume.kubernetes.io/selected-node";

export interface Steering {
  /** Volume snapshots do not get ready. */
  snapshotsReady: boolean;
  /** What `status.error` of a volume snapshot says. */
  snapshotError: string | undefined;
  /** `status.restoreSize`; none when undefined. */
  restoreSize: string | undefined;
  /** Claims get a volume. */
  provisions: boolean;
  /** Pods are given to this node; none is given when undefined. */
  node: string | undefined;
  /** Scheduled pods start. */
  podsStart: boolean;
  /** Deleted objects whose finalizers stay. */
  stuck: ReadonlySet<string>;
  /** Volumes bind to claims that wait for them. */
  binds: boolean;
}

export class FakeCsi {
  readonly api: ClusterApi;
  readonly steering: Steering = {
    snapshotsReady: true,
    snapshotError: undefined,
    restoreSize: "1Gi",
    provisions: true,
    node: "node-1",
    podsStart: true,
    stuck: new Set(),
    binds: true,
  };
  /** Volume snapshots in the storage: what was in the volume. */
  readonly storedSnapshots = new Map<string, string>();
  /** Volumes in the storage, by handle. */
  readonly storedVolumes = new Map<string, string>();
  #count = 0;

  constructor(api: ClusterApi) {
    this.api = api;
  }

  /** Lets everything that can happen happen. */
  settle(): void {
    for (let turn = 0; turn < 50; turn += 1) {
      const before = this.#versions();
      for (const snapshot of this.api.list(snapshots)) this.#snapshot(snapshot);
      for (const content of this.api.list(contents)) this.#content(content);
      for (const pod of this.api.list("pods")) this.#pod(pod);
      for (const claim of this.api.list(claims)) this.#claim(claim);
      for (const volume of this.api.list(volumes)) this.#volume(volume);
      if (this.#versions() === before) return;
    }
    throw new Error("the cluster does not settle");
  }

  /** A bound claim over a volume with this content. */
  boundClaim(namespace: string, name: string, content: string, spec: object = {}): StoredObject {
    this.api.create(claims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { namespace, name, annotations: { [selectedNode]: "node-1" } },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "fast",
        resources: { requests: { storage: "2Gi" } },
        ...spec,
      },
    });
    const { provisions, binds } = this.steering;
    Object.assign(this.steering, { provisions: true, binds: true });
    this.settle();
    Object.assign(this.steering, { provisions, binds });
    const claim = this.api.get(claims, namespace, name) as StoredObject;
    this.storedVolumes.set(this.handleOf(claim), content);
    return claim;
  }

  /** Handle of the volume that a bound claim has. */
  handleOf(claim: StoredObject): string {
    const volume = this.api.get(volumes, "", claim.spec.volumeName);
    return volume?.spec.csi.volumeHandle ?? "";
  }

  #versions(): string {
    const kinds = [snapshots, contents, "pods", claims, volumes];
    const all = kinds.flatMap((kind) => this.api.list(kind));
    return all.map(({ metadata }) => `${metadata.uid} ${metadata.resourceVersion}`).join();
  }

  #snapshot(snapshot: StoredObject): void {
    const { namespace = "", name, uid } = snapshot.metadata;
    const contentName: string =
      snapshot.spec.source.volumeSnapshotContentName ?? `snapcontent-${uid}`;
    let content = this.api.get(contents, "", contentName);
    const isOurs = content?.spec.volumeSnapshotRef.uid === uid;
    if (snapshot.metadata.deletionTimestamp) {
      if (content !== undefined && isOurs) {
        this.api.modify(contents, "", contentName, (stored) => {
          stored.metadata.annotations = {
            ...stored.metadata.annotations,
            "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes",
          };
        });
        if (content.spec.deletionPolicy === "Delete") {
          this.api.delete(contents, "", contentName);
          if (this.api.get(contents, "", contentName) !== undefined) return;
        }
      }
      this.#release(snapshots, snapshot, protection.snapshot);
      return;
    }
    this.#hold(snapshots, snapshot, protection.snapshot);
    const claimName: string | undefined = snapshot.spec.source.persistentVolumeClaimName;
    if (content === undefined && claimName !== undefined) {
      const claim = this.api.get(claims, namespace, claimName) as StoredObject;
      const handle = `snap-${++this.#count}`;
      this.storedSnapshots.set(handle, this.storedVolumes.get(this.handleOf(claim)) ?? "");
      const className: string = snapshot.spec.volumeSnapshotClassName;
      const snapshotClass = this.api.get(
        `volumesnapshotclasses.${snapshots.split(".").slice(1).join(".")}`,
        "",
        className,
      );
      content = this.api.create(contents, {
        apiVersion: snapshot.apiVersion,
        kind: "VolumeSnapshotContent",
        metadata: { name: contentName, finalizers: [protection.content] },
        spec: {
          deletionPolicy: snapshotClass?.["deletionPolicy"] ?? "Delete",
          driver: "fake",
          source: { volumeHandle: this.handleOf(claim) },
          volumeSnapshotClassName: className,
          volumeSnapshotRef: { kind: "VolumeSnapshot", namespace, name, uid },
        },
      });
      this.#status(contents, content, { snapshotHandle: handle, readyToUse: true });
    } else if (content === undefined || !isOurs) return;
    const { snapshotsReady, snapshotError, restoreSize } = this.steering;
    this.#status(snapshots, snapshot, {
      boundVolumeSnapshotContentName: contentName,
      readyToUse: snapshotsReady || claimName === undefined,
      ...(restoreSize !== undefined && { restoreSize }),
      ...(snapshotError !== undefined && { error: { message: snapshotError } }),
    });
  }

  #content(content: StoredObject): void {
    const { name } = content.metadata;
    const handle: string | undefined =
      content.status?.snapshotHandle ?? content.spec.source.snapshotHandle;
    if (content.metadata.deletionTimestamp) {
      if (content.spec.deletionPolicy === "Delete" && handle !== undefined)
        this.storedSnapshots.delete(handle);
      this.#release(contents, content, protection.content);
      return;
    }
    this.#hold(contents, content, protection.content);
    if (content.spec.source.snapshotHandle === undefined || content.status !== undefined) return;
    if (!this.storedSnapshots.has(handle ?? "")) return;
    this.#status(contents, this.api.get(contents, "", name) as StoredObject, {
      snapshotHandle: handle,
      readyToUse: true,
    });
  }

  #pod(pod: StoredObject): void {
    const { namespace = "", name } = pod.metadata;
    if (pod.metadata.deletionTimestamp) {
      this.api.delete("pods", namespace, name, { gracePeriodSeconds: 0 });
      return;
    }
    const used: StoredObject[] = (pod.spec.volumes ?? []).flatMap(
      (volume: { persistentVolumeClaim?: { claimName: string } }) =>
        volume.persistentVolumeClaim === undefined
          ? []
          : (this.api.get(claims, namespace, volume.persistentVolumeClaim.claimName) ?? []),
    );
    const node = pod.spec.nodeSelector?.["kubernetes.io/hostname"] ?? this.steering.node;
    if (pod.spec.nodeName === undefined && node !== undefined) {
      for (const claim of used) {
        if (claim.spec.volumeName || claim.metadata.annotations?.[selectedNode]) continue;
        if (!this.#waits(claim)) continue;
        this.api.modify(claims, namespace, claim.metadata.name, (stored) => {
          stored.metadata.annotations = { ...stored.metadata.annotations, [selectedNode]: node };
        });
      }
      if (used.every((claim) => claim.status?.phase === "Bound"))
        this.api.modify("pods", namespace, name, (stored) => {
          stored.spec.nodeName = node;
        });
      return;
    }
    if (
      pod.spec.nodeName !== undefined &&
      pod.status?.phase === "Pending" &&
      this.steering.podsStart
    )
      this.#status("pods", pod, { ...pod.status, phase: "Running" });
  }

  #waits(claim: StoredObject): boolean {
    const storageClass = this.api.get(classes, "", claim.spec.storageClassName);
    return storageClass?.["volumeBindingMode"] === "WaitForFirstConsumer";
  }

  #claim(claim: StoredObject): void {
    const { namespace = "", name, uid } = claim.metadata;
    if (claim.metadata.deletionTimestamp) {
      const isUsed = this.api
        .list("pods", namespace)
        .some(({ spec }) =>
          (spec.volumes ?? []).some(
            (volume: { persistentVolumeClaim?: { claimName: string } }) =>
              volume.persistentVolumeClaim?.claimName === name,
          ),
        );
      if (!isUsed) this.#release(claims, claim, protection.claim);
      return;
    }
    if (claim.status?.phase === "Bound") return;
    const volumeName: string = claim.spec.volumeName ?? "";
    const volume =
      volumeName === "" ? this.#provisioned(claim) : this.api.get(volumes, "", volumeName);
    const ref = volume?.spec.claimRef;
    const isMine =
      ref?.namespace === namespace && ref?.name === name && (!ref.uid || ref.uid === uid);
    if (volume === undefined || !isMine || (volumeName !== "" && !this.steering.binds)) return;
    this.api.modify(volumes, "", volume.metadata.name, (stored) => {
      stored.spec.claimRef.uid = uid;
    });
    this.#status(volumes, this.api.get(volumes, "", volume.metadata.name) as StoredObject, {
      phase: "Bound",
    });
    this.api.modify(claims, namespace, name, (stored) => {
      stored.spec.volumeName = volume.metadata.name;
      stored.metadata.annotations = {
        ...stored.metadata.annotations,
        "pv.kubernetes.io/bind-completed": "yes",
      };
    });
    this.#status(claims, this.api.get(claims, namespace, name) as StoredObject, { phase: "Bound" });
  }

  #provisioned(claim: StoredObject): StoredObject | undefined {
    const { namespace, name, uid } = claim.metadata;
    const storageClass = this.api.get(classes, "", claim.spec.storageClassName);
    if (storageClass === undefined || claim.spec.selector || !this.steering.provisions)
      return undefined;
    if (this.#waits(claim) && !claim.metadata.annotations?.[selectedNode]) return undefined;
    const volumeName = `pvc-${uid}`;
    const found = this.api.get(volumes, "", volumeName);
    if (found !== undefined) return found;
    let bytes = "";
    const source = claim.spec.dataSource;
    if (source?.kind === "VolumeSnapshot") {
      const snapshot = this.api.get(snapshots, namespace ?? "", source.name);
      const content = this.api.get(
        contents,
        "",
        snapshot?.status?.boundVolumeSnapshotContentName ?? "",
      );
      const stored = this.storedSnapshots.get(content?.status?.snapshotHandle ?? "");
      if (snapshot?.status?.readyToUse !== true || stored === undefined) return undefined;
      bytes = stored;
    }
    const volumeHandle = `vol-${++this.#count}`;
    this.storedVolumes.set(volumeHandle, bytes);
    return this.api.create(volumes, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: {
        name: volumeName,
        annotations: { "pv.kubernetes.io/bound-by-controller": "yes" },
      },
      spec: {
        capacity: { storage: claim.spec.resources.requests.storage },
        accessModes: claim.spec.accessModes,
        storageClassName: claim.spec.storageClassName,
        volumeMode: claim.spec.volumeMode,
        persistentVolumeReclaimPolicy: storageClass["reclaimPolicy"],
        csi: { driver: "fake", volumeHandle },
        claimRef: { kind: "PersistentVolumeClaim", apiVersion: "v1", namespace, name, uid },
      },
    });
  }

  #volume(volume: StoredObject): void {
    const ref = volume.spec.claimRef;
    const handle: string = volume.spec.csi.volumeHandle;
    const claim = ref && this.api.get(claims, ref.namespace, ref.name);
    const phase: string = volume.status?.phase ?? "Pending";
    if (volume.metadata.deletionTimestamp) {
      if (phase !== "Bound") this.#release(volumes, volume, protection.volume);
      return;
    }
    if (ref?.uid && claim?.metadata.uid !== ref.uid && phase !== "Released")
      this.#status(volumes, volume, { phase: "Released" });
    else if (ref && !ref.uid && phase !== "Available")
      this.#status(volumes, volume, { phase: "Available" });
    else if (phase === "Released" && volume.spec.persistentVolumeReclaimPolicy === "Delete") {
      if (this.steering.stuck.has(volume.metadata.name)) return;
      this.storedVolumes.delete(handle);
      this.api.delete(volumes, "", volume.metadata.name);
    }
  }

  #hold(resource: string, { metadata }: StoredObject, finalizer: string): void {
    if (metadata.finalizers?.includes(finalizer)) return;
    this.api.modify(resource, metadata.namespace ?? "", metadata.name, (stored) => {
      stored.metadata.finalizers = [...(stored.metadata.finalizers ?? []), finalizer];
    });
  }

  #release(resource: string, { metadata }: StoredObject, finalizer: string): void {
    if (this.steering.stuck.has(metadata.name) || !metadata.finalizers?.includes(finalizer)) return;
    this.api.modify(resource, metadata.namespace ?? "", metadata.name, (stored) => {
      stored.metadata.finalizers =
        stored.metadata.finalizers?.filter((one) => one !== finalizer) ?? [];
    });
  }

  #status(resource: string, { metadata, status }: StoredObject, wanted: object): void {
    if (JSON.stringify(status) === JSON.stringify(wanted)) return;
    this.api.modify(
      resource,
      metadata.namespace ?? "",
      metadata.name,
      (stored) => {
        stored.status = wanted;
      },
      { subresource: "status" },
    );
  }
}
