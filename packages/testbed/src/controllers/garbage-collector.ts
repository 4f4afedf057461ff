/**
 * Deletes what has lost its last owner (matched by uid), and carries out the deletion policies of owners: foreground waits for
 * what blocks, orphan takes the references away.
 * Proof: test/controllers/garbage-collector.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { ObjectMeta, StoredObject } from "../kube-object.ts";
import { type RunningController, startController } from "./controller.ts";
import { followServedResources, type ServedResource } from "./served-resources.ts";

const foreground = "foregroundDeletion";
const orphan = "orphan";

interface Known {
  readonly served: ServedResource;
  readonly namespace: string;
  readonly name: string;
  readonly owners: readonly string[];
}

export function startGarbageCollector({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const known = new Map<string, Known>();
  const dependents = new Map<string, Set<string>>();

  const forget = (uid: string): void => {
    for (const owner of known.get(uid)?.owners ?? []) {
      const set = dependents.get(owner);
      set?.delete(uid);
      if (set?.size === 0) dependents.delete(owner);
    }
    known.delete(uid);
  };

  const dependentsOf = (uid: string): { one: Known; object: StoredObject }[] =>
    [...(dependents.get(uid) ?? [])].flatMap((dependent) => {
      const one = known.get(dependent);
      if (one === undefined) return [];
      const object = api.get(one.served.resource, one.namespace, one.name);
      return object?.metadata.uid === dependent ? [{ one, object }] : [];
    });

  const finishPolicy = (one: Known, object: StoredObject, finalizer: string): void => {
    api.modify(one.served.resource, one.namespace, one.name, ({ metadata }) => {
      if (metadata.uid !== object.metadata.uid) return;
      metadata.finalizers = (metadata.finalizers ?? []).filter((name) => name !== finalizer);
    });
  };

  const collect = (one: Known, object: StoredObject, policy: "Background" | "Foreground"): void => {
    api.delete(one.served.resource, one.namespace, one.name, {
      uid: object.metadata.uid,
      propagationPolicy: policy,
    });
  };

  const processDeleting = (one: Known, object: StoredObject): void => {
    const { uid, finalizers = [] } = object.metadata;
    if (finalizers.includes(orphan)) {
      for (const child of dependentsOf(uid)) withoutOwners(api, child.one, new Set([uid]));
      finishPolicy(one, object, orphan);
    } else if (finalizers.includes(foreground)) {
      const children = dependentsOf(uid);
      for (const child of children) {
        if (child.object.metadata.deletionTimestamp !== undefined) continue;
        // Other owners keep it: that is decided where its own turn is.
        controller.enqueue(child.object.metadata.uid);
      }
      const blocked = children.some(({ object: { metadata } }) =>
        metadata.ownerReferences?.some((ref) => ref.uid === uid && ref.blockOwnerDeletion === true),
      );
      if (!blocked) finishPolicy(one, object, foreground);
    }
  };

  const reconcile = (uid: string): undefined => {
    const one = known.get(uid);
    if (one === undefined) return;
    const object = api.get(one.served.resource, one.namespace, one.name);
    if (object === undefined || object.metadata.uid !== uid) return;
    if (object.metadata.deletionTimestamp !== undefined) {
      processDeleting(one, object);
      return;
    }
    const owners = (object.metadata.ownerReferences ?? []).map((reference) => ({
      reference,
      state: ownerState(reference, one),
    }));
    if (owners.length === 0 || owners.every(({ state }) => state === "there")) return;
    const lost = owners.filter(({ state }) => state !== "there");
    if (lost.length < owners.length) {
      withoutOwners(api, one, new Set(lost.map(({ reference }) => reference.uid)));
    } else if (lost.some(({ state }) => state === "waiting") && dependents.has(uid)) {
      collect(one, object, "Foreground");
    } else {
      collect(one, object, "Background");
    }
  };

  const ownerState = (
    reference: NonNullable<ObjectMeta["ownerReferences"]>[number],
    child: Known,
  ): "there" | "waiting" | "absent" => {
    const served = resources.find(reference.apiVersion, reference.kind);
    // Of a kind that nobody knows nobody can say that it is gone.
    if (served === undefined) return "there";
    const namespace = served.namespaced ? child.namespace : "";
    if (served.namespaced && namespace === "") return "there";
    const owner = api.get(served.resource, namespace, reference.name);
    if (owner === undefined || owner.metadata.uid !== reference.uid) return "absent";
    const waits =
      owner.metadata.deletionTimestamp !== undefined &&
      owner.metadata.finalizers?.includes(foreground) === true;
    return waits ? "waiting" : "there";
  };

  const controller = startController({
    name: "garbage-collector",
    api,
    logger,
    watches: {},
    reconcile,
  });
  const resources = followServedResources(api, (served, { type, object }) => {
    const { uid, namespace = "", name, ownerReferences = [] } = object.metadata;
    const owners = known.get(uid)?.owners ?? [];
    forget(uid);
    if (type === "DELETED") {
      for (const dependent of dependents.get(uid) ?? []) controller.enqueue(dependent);
      // Owners may have waited for this.
      for (const owner of owners) controller.enqueue(owner);
      return;
    }
    known.set(uid, { served, namespace, name, owners: ownerReferences.map((one) => one.uid) });
    for (const owner of ownerReferences) {
      let set = dependents.get(owner.uid);
      if (set === undefined) {
        set = new Set();
        dependents.set(owner.uid, set);
      }
      set.add(uid);
    }
    if (ownerReferences.length > 0 || object.metadata.deletionTimestamp !== undefined) {
      controller.enqueue(uid);
    }
    for (const owner of owners) {
      if (!ownerReferences.some((one) => one.uid === owner)) controller.enqueue(owner);
    }
  });
  return {
    ...controller,
    async close() {
      resources.close();
      await controller.close();
    },
  };
}

function withoutOwners(api: ClusterApi, one: Known, uids: ReadonlySet<string>): void {
  api.modify(one.served.resource, one.namespace, one.name, ({ metadata }) => {
    const left = (metadata.ownerReferences ?? []).filter(({ uid }) => !uids.has(uid));
    if (left.length === 0) delete metadata.ownerReferences;
    else metadata.ownerReferences = left;
  });
}
