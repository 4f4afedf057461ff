/**
 * Brings VolumeSnapshots and VolumeSnapshotContents together, as the cluster's `snapshot-controller` does: makes a content for a
 * snapshot of a claim, binds made ones, keeps the snapshot's status, and takes both away in the order that policies say.
 * Proof: test/csi/snapshot-controller.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import { timestamp, timestampOf } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { formatBytes } from "./quantity.ts";
import type { SnapshotWatch } from "./snapshot-watch.ts";
import { annotations, finalizers, resources, snapshotApiGroup } from "./storage-names.ts";
import {
  addFinalizer,
  annotationOf,
  claimKey,
  isDeleting,
  referenceTo,
  removeFinalizer,
} from "./storage-object.ts";

export interface SnapshotControllerOptions {
  readonly api: ClusterApi;
  readonly snapshots: SnapshotWatch;
  readonly logger?: Logger | undefined;
}

export function startSnapshotController(options: SnapshotControllerOptions): RunningController {
  const { api, snapshots: kinds, logger } = options;
  const events = createEventRecorder(api, { component: "snapshot-controller" });

  /** VolumeSnapshots that are not cut yet, with their claims; and pending claims, with their sources. As watches tell. */
  const waiting = new Map<string, string>();
  const restoring = new Map<string, string>();

  const reconcileSnapshot = (namespace: string, name: string): void => {
    const snapshot = api.get(resources.snapshots, namespace, name);
    if (!snapshot) return;
    if (isDeleting(snapshot)) {
      finish(snapshot);
      return;
    }
    addFinalizer(
      api,
      resources.snapshots,
      snapshot,
      finalizers.snapshotAsSource,
      finalizers.snapshotBound,
    );
    const { source } = snapshot.spec;
    const content = source.volumeSnapshotContentName ? preProvisioned(snapshot) : dynamic(snapshot);
    if (content) follow(snapshot, content);
  };

  /** The content that the snapshot names, bound to it. */
  const preProvisioned = (snapshot: StoredObject): StoredObject | undefined => {
    const contentName: string = snapshot.spec.source.volumeSnapshotContentName;
    const content = api.get(resources.contents, "", contentName);
    if (!content)
      return fail(snapshot, "SnapshotContentMissing", "VolumeSnapshotContent is missing");
    const ref = content.spec.volumeSnapshotRef;
    if (content.spec.source.snapshotHandle === undefined)
      return fail(
        snapshot,
        "SnapshotContentMismatch",
        "VolumeSnapshotContent is dynamically provisioned while expecting a pre-provisioned one",
      );
    const isNamed =
      ref.name === snapshot.metadata.name && ref.namespace === snapshot.metadata.namespace;
    if (!isNamed || (ref.uid && ref.uid !== snapshot.metadata.uid))
      return fail(
        snapshot,
        "SnapshotContentMisbound",
        `VolumeSnapshotContent [${contentName}] is bound to a different snapshot`,
      );
    const className = snapshot.spec.volumeSnapshotClassName;
    if (ref.uid && (className === undefined || content.spec.volumeSnapshotClassName === className))
      return content;
    return api.modify(resources.contents, "", contentName, (stored) => {
      stored.spec.volumeSnapshotRef.uid = snapshot.metadata.uid;
      if (className !== undefined) stored.spec.volumeSnapshotClassName = className;
    });
  };

  /** The content made for the snapshot. */
  const dynamic = (snapshot: StoredObject): StoredObject | undefined => {
    const contentName = `snapcontent-${snapshot.metadata.uid}`;
    const existing = api.get(resources.contents, "", contentName);
    if (existing) return existing;
    if (snapshot.status?.boundVolumeSnapshotContentName)
      return fail(snapshot, "SnapshotContentMissing", "VolumeSnapshotContent is missing");
    const refuse = (text: string): undefined =>
      fail(
        snapshot,
        "SnapshotContentCreationFailed",
        `Failed to create snapshot content with error ${text}`,
      );
    const claimName: string = snapshot.spec.source.persistentVolumeClaimName;
    const { namespace = "" } = snapshot.metadata;
    const claim = api.get(resources.claims, namespace, claimName);
    if (!claim)
      return refuse(
        `snapshot controller failed to update ${snapshot.metadata.name} on API server: cannot get claim from snapshot`,
      );
    const volume = api.get(resources.volumes, "", claim.spec.volumeName ?? "");
    if (claim.status?.phase !== "Bound" || !volume)
      return refuse(
        `the PVC ${claimName} is not yet bound to a PV, will not attempt to take a snapshot`,
      );
    if (!volume.spec.csi)
      return refuse(`cannot take snapshot of volume ${volume.metadata.name}: it is no CSI volume`);
    const snapshotClass = classFor(snapshot, volume);
    if (typeof snapshotClass === "string") return refuse(snapshotClass);
    addFinalizer(api, resources.claims, claim, finalizers.claimAsSource);
    events.record(
      snapshot,
      "Normal",
      "CreatingSnapshot",
      `Waiting for a snapshot ${claimKey(snapshot)} to be created by the CSI driver.`,
    );
    return api.create(resources.contents, {
      apiVersion: snapshot.apiVersion,
      kind: "VolumeSnapshotContent",
      metadata: { name: contentName, finalizers: [finalizers.contentBound] },
      spec: {
        volumeSnapshotRef: referenceTo(snapshot),
        source: { volumeHandle: volume.spec.csi.volumeHandle },
        sourceVolumeMode: volume.spec.volumeMode ?? "Filesystem",
        volumeSnapshotClassName: snapshotClass.metadata.name,
        deletionPolicy: snapshotClass["deletionPolicy"],
        driver: snapshotClass["driver"],
      },
    });
  };

  /** The named class or the driver's default one, or why there is none. */
  const classFor = (snapshot: StoredObject, volume: StoredObject): StoredObject | string => {
    const { driver } = volume.spec.csi;
    const named: string | undefined = snapshot.spec.volumeSnapshotClassName;
    if (named !== undefined) {
      const found = api.get(resources.snapshotClasses, "", named);
      if (!found)
        return `failed to get input parameters to create snapshot ${snapshot.metadata.name}: "failed to retrieve snapshot class ${named} from the informer: volumesnapshotclass.snapshot.storage.k8s.io \\"${named}\\" not found"`;
      if (found["driver"] !== driver)
        return `failed to get input parameters to create snapshot ${snapshot.metadata.name}: snapshot class ${named} is of driver ${found["driver"]}, the volume of ${driver}`;
      return found;
    }
    const defaults = api
      .list(resources.snapshotClasses)
      .filter(
        (each) =>
          each["driver"] === driver &&
          annotationOf(each, annotations.defaultSnapshotClass) === "true",
      );
    const [only] = defaults;
    if (defaults.length !== 1 || !only) {
      return defaults.length === 0
        ? "cannot find default snapshot class"
        : `${defaults.length} default snapshot classes were found`;
    }
    const { namespace = "", name } = snapshot.metadata;
    api.modify(resources.snapshots, namespace, name, (stored) => {
      stored.spec.volumeSnapshotClassName = only.metadata.name;
    });
    return only;
  };

  /** What the content's status says becomes the snapshot's. */
  const follow = (snapshot: StoredObject, content: StoredObject): void => {
    const { namespace = "", name } = snapshot.metadata;
    const seen = content.status ?? {};
    const before: Json = snapshot.status ?? {};
    const wanted: Json = {
      boundVolumeSnapshotContentName: content.metadata.name,
      readyToUse: seen.readyToUse === true,
      ...(seen.creationTime === undefined
        ? {}
        : { creationTime: timestampOf(Math.floor(seen.creationTime / 1e6)) }),
      ...(seen.restoreSize === undefined ? {} : { restoreSize: formatBytes(seen.restoreSize) }),
      ...(seen.error === undefined ? {} : { error: seen.error }),
    };
    if (JSON.stringify(sorted(wanted)) !== JSON.stringify(sorted(before)))
      api.modify(
        resources.snapshots,
        namespace,
        name,
        (stored) => {
          stored.status = wanted;
        },
        { subresource: "status" },
      );
    const key = claimKey(snapshot);
    if (wanted.creationTime !== undefined && before.creationTime === undefined)
      events.record(
        snapshot,
        "Normal",
        "SnapshotCreated",
        `Snapshot ${key} was successfully created by the CSI driver.`,
      );
    if (wanted.readyToUse && before.readyToUse !== true)
      events.record(snapshot, "Normal", "SnapshotReady", `Snapshot ${key} is ready to use.`);
    if (seen.error && before.error?.message !== seen.error.message)
      events.record(snapshot, "Warning", "SnapshotCreationFailed", seen.error.message);
    if (wanted.creationTime !== undefined) releaseClaim(snapshot);
  };

  const fail = (snapshot: StoredObject, reason: string, message: string): undefined => {
    if (snapshot.status?.error?.message !== message || snapshot.status?.readyToUse !== false) {
      const { namespace = "", name } = snapshot.metadata;
      api.modify(
        resources.snapshots,
        namespace,
        name,
        (stored) => {
          stored.status = {
            ...stored.status,
            readyToUse: false,
            error: { message, time: timestamp(api.clock) },
          };
        },
        { subresource: "status" },
      );
      events.record(snapshot, "Warning", reason, message);
    }
    return undefined;
  };

  /** The claim need not be kept once no snapshot of it is being cut. */
  const releaseClaim = (snapshot: StoredObject): void => {
    const claimName: string | undefined = snapshot.spec.source.persistentVolumeClaimName;
    if (claimName === undefined) return;
    const { namespace = "" } = snapshot.metadata;
    const claim = api.get(resources.claims, namespace, claimName);
    if (!claim?.metadata.finalizers?.includes(finalizers.claimAsSource)) return;
    const own = claimKey(snapshot);
    const isBeingCut = [...waiting].some(
      ([key, other]) => key !== own && other === `${namespace}/${claimName}`,
    );
    if (!isBeingCut) removeFinalizer(api, resources.claims, claim, finalizers.claimAsSource);
  };

  /** A deleted snapshot goes when no claim is being made from it, and, with policy Delete, after its content. */
  const finish = (snapshot: StoredObject): void => {
    const { namespace = "", name, uid } = snapshot.metadata;
    if (isBeingRestored(snapshot)) return;
    let content = contentOf(snapshot);
    if (content && annotationOf(content, annotations.snapshotBeingDeleted) === undefined) {
      // With either policy: it lets the driver's part act once the content is deleted, now or later.
      content = api.modify(resources.contents, "", content.metadata.name, (stored) => {
        stored.metadata.annotations = {
          ...stored.metadata.annotations,
          [annotations.snapshotBeingDeleted]: "yes",
        };
      });
    }
    releaseClaim(snapshot);
    if (content?.spec.deletionPolicy === "Delete") {
      if (!isDeleting(content))
        api.delete(resources.contents, "", content.metadata.name, { uid: content.metadata.uid });
      if (contentOf(snapshot)) {
        removeFinalizer(api, resources.snapshots, snapshot, finalizers.snapshotAsSource);
        return;
      }
    }
    const now = api.get(resources.snapshots, namespace, name);
    if (now?.metadata.uid === uid)
      removeFinalizer(
        api,
        resources.snapshots,
        now,
        finalizers.snapshotAsSource,
        finalizers.snapshotBound,
      );
  };

  /** Only a content whose reference names this very snapshot. */
  const contentOf = (snapshot: StoredObject): StoredObject | undefined => {
    const contentName: string =
      snapshot.status?.boundVolumeSnapshotContentName ??
      snapshot.spec.source.volumeSnapshotContentName ??
      `snapcontent-${snapshot.metadata.uid}`;
    const content = api.get(resources.contents, "", contentName);
    return content?.spec.volumeSnapshotRef.uid === snapshot.metadata.uid ? content : undefined;
  };

  const isBeingRestored = (snapshot: StoredObject): boolean =>
    [...restoring.values()].includes(claimKey(snapshot));

  /** The VolumeSnapshot that a pending claim is to be made from. */
  const sourceOf = (claim: StoredObject): string | undefined => {
    const reference = claim.spec.dataSource ?? claim.spec.dataSourceRef;
    if (reference?.kind !== "VolumeSnapshot" || reference.apiGroup !== snapshotApiGroup)
      return undefined;
    if (claim.status?.phase !== undefined && claim.status.phase !== "Pending") return undefined;
    return `${claim.metadata.namespace}/${reference.name}`;
  };

  const reconcileContent = (name: string): void => {
    const content = api.get(resources.contents, "", name);
    // One that is made beforehand and that nobody has taken is its maker's.
    if (content?.spec.volumeSnapshotRef.uid)
      addFinalizer(api, resources.contents, content, finalizers.contentBound);
  };

  const controller = startController({
    name: "snapshot-controller",
    api,
    logger,
    watches: {},
    reconcile(key) {
      const [, kind, rest = ""] = /^(snapshot|content):(.*)$/.exec(key) ?? [];
      if (kind === "content") reconcileContent(rest);
      const slash = rest.indexOf("/");
      if (kind === "snapshot") reconcileSnapshot(rest.slice(0, slash), rest.slice(slash + 1));
      return undefined;
    },
  });
  const stop = kinds.whenServed(() => {
    controller.watch(resources.snapshots, ({ type, object }) => {
      const key = claimKey(object);
      const claimName = object.spec.source.persistentVolumeClaimName ?? "";
      const isWaiting = type !== "DELETED" && object.status?.creationTime === undefined;
      if (isWaiting) waiting.set(key, `${object.metadata.namespace}/${claimName}`);
      else waiting.delete(key);
      return [`snapshot:${key}`];
    });
    controller.watch(resources.contents, ({ object }) => {
      const ref = object.spec.volumeSnapshotRef;
      return [`content:${object.metadata.name}`, `snapshot:${ref.namespace}/${ref.name}`];
    });
    controller.watch(resources.claims, ({ type, object }) => {
      const key = claimKey(object);
      const source = type === "DELETED" ? undefined : sourceOf(object);
      const before = restoring.get(key);
      if (source === undefined) restoring.delete(key);
      else restoring.set(key, source);
      const concerned = [...waiting].filter(([, claim]) => claim === key).map(([each]) => each);
      // A deleted snapshot may have waited for this claim.
      if (before !== undefined && source === undefined) concerned.push(before);
      return concerned.map((each) => `snapshot:${each}`);
    });
    controller.watch(resources.snapshotClasses, () =>
      [...waiting.keys()].map((key) => `snapshot:${key}`),
    );
  });
  return {
    ...controller,
    async close() {
      stop();
      await controller.close();
    },
  };
}

function sorted(value: Json): Json {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
