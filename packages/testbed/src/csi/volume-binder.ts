/**
 * Brings PersistentVolumeClaims and PersistentVolumes together, as Kubernetes' controller of that name does: finds a volume for a
 * claim or asks the provisioner for one, keeps both sides' phases, and releases volumes whose claim is gone.
 * Proof: test/csi/volume-binder.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi, ClusterEvent } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import { matchesNodeSelectorTerms, matchesSelector } from "../controllers/selector.ts";
import type { StoredObject } from "../kube-object.ts";
import { parseBytes } from "./quantity.ts";
import { annotations, resources } from "./storage-names.ts";
import {
  annotationOf,
  claimKey,
  isDelayed,
  isDeleting,
  referenceTo,
  storageClassOf,
} from "./storage-object.ts";

export interface VolumeBinderOptions {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}

export function startVolumeBinder({ api, logger }: VolumeBinderOptions): RunningController {
  const events = createEventRecorder(api, { component: "persistentvolume-controller" });
  /** What watches told last; decisions read the store again. */
  const volumes = new Map<string, StoredObject>();
  const pending = new Set<string>();

  const ofClaim = ({ type, object }: ClusterEvent): string[] => {
    const key = claimKey(object);
    if (type !== "DELETED" && !object.spec.volumeName) pending.add(key);
    else pending.delete(key);
    const keys = [`claim:${key}`];
    if (object.spec.volumeName) keys.push(`volume:${object.spec.volumeName}`);
    // A claim that is gone without having named its volume, and one that comes under an old name.
    for (const volume of volumes.values())
      if (isFor(volume, object)) keys.push(`volume:${volume.metadata.name}`);
    return keys;
  };

  const ofVolume = ({ type, object }: ClusterEvent): string[] => {
    const { name } = object.metadata;
    if (type === "DELETED") volumes.delete(name);
    else volumes.set(name, object);
    const ref = object.spec.claimRef;
    if (ref) return [`volume:${name}`, `claim:${ref.namespace}/${ref.name}`];
    return [`volume:${name}`, ...[...pending].map((key) => `claim:${key}`)];
  };

  const reconcileClaim = (namespace: string, name: string): void => {
    let claim = api.get(resources.claims, namespace, name);
    if (!claim) return;
    claim = withStorageClass(claim);
    if (annotationOf(claim, annotations.bindCompleted) !== undefined) keepBound(claim);
    else if (isDeleting(claim)) return;
    else if (claim.spec.volumeName) bindToNamed(claim);
    else findOrProvision(claim);
  };

  /** Claims that name no class get the default one, also when that comes later. */
  const withStorageClass = (claim: StoredObject): StoredObject => {
    if (claim.spec.storageClassName !== undefined || claim.spec.volumeName) return claim;
    const storageClass = storageClassOf(api, claim);
    if (!storageClass) return claim;
    const { namespace = "", name } = claim.metadata;
    const changed = api.modify(resources.claims, namespace, name, (stored) => {
      stored.spec.storageClassName = storageClass.metadata.name;
    });
    return changed ?? claim;
  };

  const findOrProvision = (claim: StoredObject): void => {
    const storageClass = storageClassOf(api, claim);
    const found = findVolume(claim, isDelayed(storageClass));
    const volume = found && api.get(resources.volumes, "", found.metadata.name);
    const isFree = (each: StoredObject): boolean =>
      !each.spec.claimRef || (isFor(each, claim) && hasNoOtherUid(each, claim));
    if (volume && isFree(volume)) {
      bind(claim, volume);
      return;
    }
    setClaimPhase(claim, "Pending");
    if (isDelayed(storageClass) && !annotationOf(claim, annotations.selectedNode)) {
      events.record(
        claim,
        "Normal",
        "WaitForFirstConsumer",
        "waiting for first consumer to be created before binding",
      );
    } else if (storageClass) {
      askProvisioner(claim, storageClass);
    } else if (claim.spec.storageClassName) {
      events.record(
        claim,
        "Warning",
        "ProvisioningFailed",
        `storageclass.storage.k8s.io "${claim.spec.storageClassName}" not found`,
      );
    } else {
      events.record(
        claim,
        "Normal",
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set",
      );
    }
  };

  const askProvisioner = (claim: StoredObject, storageClass: StoredObject): void => {
    const provisioner: string = storageClass["provisioner"];
    if (provisioner === "kubernetes.io/no-provisioner") return;
    if (annotationOf(claim, annotations.storageProvisioner) !== provisioner) {
      const { namespace = "", name } = claim.metadata;
      api.modify(resources.claims, namespace, name, (stored) => {
        stored.metadata.annotations = {
          ...stored.metadata.annotations,
          [annotations.storageProvisioner]: provisioner,
          [annotations.storageProvisionerBeta]: provisioner,
        };
      });
    }
    events.record(
      claim,
      "Normal",
      "ExternalProvisioning",
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. ` +
        "If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
    );
  };

  /** The smallest volume that will do; one that was made for this claim before all others. */
  const findVolume = (claim: StoredObject, isDelayedClass: boolean): StoredObject | undefined => {
    const nodeName = annotationOf(claim, annotations.selectedNode);
    const node = nodeName === undefined ? undefined : api.get("nodes", "", nodeName);
    const fitting = [...volumes.values()].filter((volume) => {
      if (isDeleting(volume) || unsuitability(claim, volume) !== undefined) return false;
      if (volume.spec.claimRef) return isFor(volume, claim) && hasNoOtherUid(volume, claim);
      if (isDelayedClass && nodeName === undefined) return false;
      const { selector } = claim.spec;
      if (selector && !matchesSelector(selector, volume.metadata.labels)) return false;
      const terms = volume.spec.nodeAffinity?.required?.nodeSelectorTerms;
      return !terms || !node || matchesNodeSelectorTerms(terms, node);
    });
    return fitting.sort(
      (a, b) =>
        Number(Boolean(b.spec.claimRef)) - Number(Boolean(a.spec.claimRef)) ||
        capacityOf(a) - capacityOf(b) ||
        a.metadata.name.localeCompare(b.metadata.name),
    )[0];
  };

  const bindToNamed = (claim: StoredObject): void => {
    const volume = api.get(resources.volumes, "", claim.spec.volumeName);
    if (!volume) {
      setClaimPhase(claim, "Pending");
      return;
    }
    const ref = volume.spec.claimRef;
    if (ref && isFor(volume, claim) && hasNoOtherUid(volume, claim)) {
      bind(claim, volume);
      return;
    }
    setClaimPhase(claim, "Pending");
    if (ref) {
      events.record(
        claim,
        "Warning",
        "FailedBinding",
        `volume "${volume.metadata.name}" already bound to a different claim.`,
      );
      return;
    }
    const reason = unsuitability(claim, volume);
    if (reason === undefined) bind(claim, volume);
    else
      events.record(
        claim,
        "Warning",
        "VolumeMismatch",
        `Cannot bind to requested volume "${volume.metadata.name}": ${reason}`,
      );
  };

  const keepBound = (claim: StoredObject): void => {
    const volumeName: string | undefined = claim.spec.volumeName;
    if (!volumeName) {
      lose(
        claim,
        "ClaimLost",
        "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
      );
      return;
    }
    const volume = api.get(resources.volumes, "", volumeName);
    if (!volume) {
      lose(
        claim,
        "ClaimLost",
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
      );
    } else if (!volume.spec.claimRef || volume.spec.claimRef.uid === claim.metadata.uid) {
      bind(claim, volume);
    } else if (isFor(volume, claim) && hasNoOtherUid(volume, claim)) {
      bind(claim, volume);
    } else {
      lose(
        claim,
        "ClaimMisbound",
        "Two claims are bound to the same volume, this one is bound incorrectly",
      );
    }
  };

  const lose = (claim: StoredObject, reason: string, message: string): void => {
    if (claim.status?.phase !== "Lost") events.record(claim, "Warning", reason, message);
    setClaimPhase(claim, "Lost");
  };

  /** Four writes, each repeated until it is so: the volume names the claim, is Bound, the claim names the volume, is Bound. */
  const bind = (claim: StoredObject, volume: StoredObject): void => {
    const { uid, namespace = "", name } = claim.metadata;
    const volumeName = volume.metadata.name;
    if (volume.spec.claimRef?.uid !== uid) {
      api.modify(resources.volumes, "", volumeName, (stored) => {
        if (!stored.spec.claimRef)
          stored.metadata.annotations = {
            ...stored.metadata.annotations,
            [annotations.boundByController]: "yes",
          };
        stored.spec.claimRef = referenceTo(claim);
      });
    }
    setVolumePhase(volume, "Bound");
    const isBindCompleted = annotationOf(claim, annotations.bindCompleted) !== undefined;
    if (!isBindCompleted || claim.spec.volumeName !== volumeName) {
      api.modify(resources.claims, namespace, name, (stored) => {
        if (!stored.spec.volumeName) {
          stored.spec.volumeName = volumeName;
          stored.metadata.annotations = {
            ...stored.metadata.annotations,
            [annotations.boundByController]: "yes",
          };
        }
        stored.metadata.annotations = {
          ...stored.metadata.annotations,
          [annotations.bindCompleted]: "yes",
        };
      });
    }
    if (claim.status?.phase === "Bound") return;
    api.modify(
      resources.claims,
      namespace,
      name,
      (stored) => {
        stored.status = {
          ...stored.status,
          phase: "Bound",
          accessModes: volume.spec.accessModes,
          capacity: { storage: volume.spec.capacity.storage },
        };
      },
      { subresource: "status" },
    );
  };

  const setClaimPhase = (claim: StoredObject, phase: "Pending" | "Lost"): void => {
    if (claim.status?.phase === phase) return;
    const { namespace = "", name } = claim.metadata;
    api.modify(
      resources.claims,
      namespace,
      name,
      (stored) => {
        stored.status = phase === "Lost" ? { ...stored.status, phase } : { phase };
      },
      { subresource: "status" },
    );
  };

  const setVolumePhase = (volume: StoredObject, phase: string): void => {
    if (volume.status?.phase === phase) return;
    api.modify(
      resources.volumes,
      "",
      volume.metadata.name,
      (stored) => {
        stored.status = { ...stored.status, phase };
      },
      { subresource: "status" },
    );
  };

  const reconcileVolume = (name: string): void => {
    const volume = api.get(resources.volumes, "", name);
    if (!volume) return;
    const ref = volume.spec.claimRef;
    // Kept for a claim that has not come yet, or for nobody.
    if (!ref?.uid) {
      setVolumePhase(volume, "Available");
      return;
    }
    const claim = api.get(resources.claims, ref.namespace, ref.name);
    if (!claim || claim.metadata.uid !== ref.uid) {
      if (volume.status?.phase !== "Failed") setVolumePhase(volume, "Released");
    } else if (claim.spec.volumeName === name) {
      setVolumePhase(volume, "Bound");
    } else if (claim.spec.volumeName) {
      giveBack(volume);
    }
  };

  /** The claim chose another volume. One made for it alone is of no use to others. */
  const giveBack = (volume: StoredObject): void => {
    const isDynamic = annotationOf(volume, annotations.provisionedBy) !== undefined;
    if (isDynamic && volume.spec.persistentVolumeReclaimPolicy === "Delete") {
      setVolumePhase(volume, "Released");
      return;
    }
    api.modify(resources.volumes, "", volume.metadata.name, (stored) => {
      if (annotationOf(stored, annotations.boundByController) === undefined) {
        delete stored.spec.claimRef.uid;
        delete stored.spec.claimRef.resourceVersion;
        return;
      }
      delete stored.spec.claimRef;
      delete stored.metadata.annotations?.[annotations.boundByController];
    });
  };

  return startController({
    name: "volume-binder",
    api,
    logger,
    watches: {
      [resources.volumes]: ofVolume,
      [resources.claims]: ofClaim,
      [resources.storageClasses]: () => [...pending].map((key) => `claim:${key}`),
    },
    reconcile(key) {
      const [, kind, rest = ""] = /^(claim|volume):(.*)$/.exec(key) ?? [];
      const slash = rest.indexOf("/");
      if (kind === "volume") reconcileVolume(rest);
      else reconcileClaim(rest.slice(0, slash), rest.slice(slash + 1));
      return undefined;
    },
  });
}

function isFor(volume: StoredObject, claim: StoredObject): boolean {
  const ref = volume.spec.claimRef;
  return ref?.name === claim.metadata.name && ref?.namespace === claim.metadata.namespace;
}

/** A reference without uid is one made by a person or a restore, for the claim of that name whichever it is. */
function hasNoOtherUid(volume: StoredObject, claim: StoredObject): boolean {
  const { uid } = volume.spec.claimRef;
  return !uid || uid === claim.metadata.uid;
}

/** Why a volume will not do for a claim; undefined when it will. Selectors are the caller's. */
function unsuitability(claim: StoredObject, volume: StoredObject): string | undefined {
  const requested = claim.spec.resources?.requests?.storage;
  if (requested !== undefined && capacityOf(volume) < parseBytes(requested))
    return "requested PV is too small";
  if ((volume.spec.storageClassName ?? "") !== (claim.spec.storageClassName ?? ""))
    return "storageClassName does not match";
  if ((volume.spec.volumeMode ?? "Filesystem") !== (claim.spec.volumeMode ?? "Filesystem"))
    return "incompatible volumeMode";
  const offered: string[] = volume.spec.accessModes ?? [];
  const wanted: string[] = claim.spec.accessModes ?? [];
  if (!wanted.every((mode) => offered.includes(mode))) return "incompatible accessMode";
  return undefined;
}

function capacityOf(volume: StoredObject): number {
  return parseBytes(volume.spec.capacity?.storage ?? "0");
}
