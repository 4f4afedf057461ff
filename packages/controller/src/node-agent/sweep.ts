/**
 * What exposing left behind: objects whose DataUpload (or other) is over, or gone without its finalizer. The cluster itself
 * collects what has an owner reference; snapshots have none, on purpose, and are found by their mark.
 * Proof: test/node-agent/sweep.test.ts.
 * @module
 */
import { nsPerMs } from "@dm/core";
import {
  type DataUpload,
  isFinalPhase,
  type KubeObject,
  persistentVolumeClaims,
  phaseOf,
  pods,
  type Resource,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import { marks } from "../expose/exposure.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { AgentDeps } from "./agent-deps.ts";
import { resourceOf, type TransferKind, type TransferObject, transferKinds } from "./transfer.ts";

export interface SweepOptions extends KubeCallOptions {
  readonly namespace: string;
  /** Younger objects are left alone: their owner may not be known here yet. */
  readonly minAgeMs?: number | undefined;
}

interface Owner {
  readonly kind: TransferKind;
  readonly name: string;
  readonly uid: string;
}

const defaultMinAgeMs = 10 * 60_000;

/**
 * Cleans up after every owner that will not do it itself. Volumes are never looked for: one that is kept may hold the only copy of
 * restored data. Returns the owners' names.
 */
export async function sweepOrphans(deps: AgentDeps, options: SweepOptions): Promise<string[]> {
  const swept: string[] = [];
  for (const owner of await ownersOf(deps, options)) {
    const object = await deps.client.get(
      resourceOf(owner.kind),
      { namespace: options.namespace, name: owner.name },
      options,
    );
    const isOwn = object?.metadata.uid === owner.uid;
    if (isOwn && !isFinalPhase(phaseOf(object))) continue;
    // What the others leave has owner references only.
    if (!isOwn && owner.kind !== "DataUpload") continue;
    const exposer = deps.exposerFor(
      owner.kind,
      isOwn && object ? object : lostUpload(owner, options.namespace),
    );
    try {
      const step = await exposer.cleanUp(options);
      deps.logger.warn("swept up after a transfer that is over", { ...owner, done: step.done });
      swept.push(owner.name);
    } catch (error) {
      options.signal?.throwIfAborted();
      deps.logger.warn("cannot sweep up", { ...owner, error: String(error) });
    }
  }
  return swept;
}

/** Of everything that exposers made and that is old enough, once each. */
async function ownersOf(
  deps: AgentDeps,
  { namespace, minAgeMs = defaultMinAgeMs, signal }: SweepOptions,
): Promise<Owner[]> {
  const { client, clock } = deps;
  const bornBefore = Number(clock.nowNs() / nsPerMs) - minAgeMs;
  const owners = new Map<string, Owner>();
  const look = async <T extends KubeObject>(
    resource: Resource<T>,
    owned: (object: T) => Owner | undefined,
  ): Promise<void> => {
    const place = resource.namespaced ? { namespace } : {};
    const { items } = await client.list(resource, { ...place, signal });
    for (const object of items) {
      const { creationTimestamp = "", deletionTimestamp } = object.metadata;
      if (deletionTimestamp || !(Date.parse(creationTimestamp) <= bornBefore)) continue;
      const owner = owned(object);
      if (owner) owners.set(owner.uid, owner);
    }
  };
  await look(pods, referencedOwner);
  await look(persistentVolumeClaims, referencedOwner);
  await look(volumeSnapshots, markedOwner);
  await look(volumeSnapshotContents, (content) =>
    content.spec.volumeSnapshotRef.namespace === namespace ? markedOwner(content) : undefined,
  );
  return [...owners.values()];
}

function referencedOwner({ metadata }: KubeObject): Owner | undefined {
  for (const { kind: ownerKind, name, uid } of metadata.ownerReferences ?? []) {
    const kind = transferKinds.find((each) => each === ownerKind);
    if (kind !== undefined) return { kind, name, uid };
  }
  return undefined;
}

/** Only a DataUpload has snapshots, and they are named like it. */
function markedOwner({ metadata }: KubeObject): Owner | undefined {
  const uid = metadata.annotations?.[marks.owner];
  const { name = "" } = metadata;
  return uid === undefined ? undefined : { kind: "DataUpload", name, uid };
}

/**
 * Enough of a DataUpload that is gone to find what was made for it. Which snapshot it was made from is not known any more: the name
 * here is one that nobody has.
 */
function lostUpload({ name, uid }: Owner, namespace: string): TransferObject {
  return {
    metadata: { name, namespace, uid },
    spec: {
      snapshotType: "CSI",
      csiSnapshot: { storageClass: "", volumeSnapshot: `${uid}.unknown` },
      sourceNamespace: namespace,
      sourcePVC: `${uid}.unknown`,
      backupStorageLocation: "",
      operationTimeout: "10m0s",
    },
  } satisfies DataUpload;
}
