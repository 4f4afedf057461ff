/**
 * The addresses behind Services: Endpoints and one EndpointSlice each, of the pods that a Service selects and that have an
 * address. They go with their Service.
 * Proof: test/controllers/endpoints.test.ts.
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, NewObject, StoredObject } from "../kube-object.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { controllerReference } from "./owner.ts";
import { isActive, isReady } from "./pod-template.ts";
import { matchesSelector } from "./selector.ts";

const slices = "endpointslices.discovery.k8s.io";

export function startEndpointsController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const servicesOf = (namespace: string): string[] => api.list("services", namespace).map(keyOf);
  return startController({
    name: "endpoints",
    api,
    logger,
    watches: {
      services: ({ object }) => [keyOf(object)],
      pods: ({ object }) => servicesOf(object.metadata.namespace ?? ""),
      endpoints: ({ type, object }) => (type === "DELETED" ? [keyOf(object)] : []),
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const service = api.get("services", namespace, name);
      const isThere = service !== undefined && service.metadata.deletionTimestamp === undefined;
      // Whoever makes a Service without a selector makes its Endpoints, too.
      if (isThere && !service.spec?.selector) return undefined;
      if (!isThere) {
        if (api.get("endpoints", namespace, name)) api.delete("endpoints", namespace, name);
        return undefined;
      }
      const pods = api
        .list("pods", namespace)
        .filter((pod) => isActive(pod) && pod.status?.podIP)
        .filter((pod) =>
          matchesSelector({ matchLabels: service.spec.selector }, pod.metadata.labels),
        )
        .sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
      write("endpoints", endpointsOf(service, pods));
      write(slices, sliceOf(service, pods));
      return undefined;
    },
  });

  function write(resource: string, wanted: NewObject): void {
    const { name = "", namespace = "" } = wanted.metadata;
    const found = api.get(resource, namespace, name);
    if (found === undefined) {
      if (api.get("namespaces", "", namespace)?.metadata.deletionTimestamp === undefined)
        api.create(resource, wanted);
      return;
    }
    const fields = ["subsets", "endpoints", "ports"];
    if (fields.every((field) => isDeepStrictEqual(found[field], wanted[field]))) return;
    api.modify(resource, namespace, name, (object) => {
      for (const field of fields) object[field] = wanted[field];
    });
  }
}

function endpointsOf(service: StoredObject, pods: readonly StoredObject[]): NewObject {
  const { labels, name, namespace = "" } = service.metadata;
  const addressOf = (pod: StoredObject): Json => ({
    ip: pod.status.podIP,
    nodeName: pod.spec.nodeName,
    targetRef: referenceTo(pod),
  });
  const ready = pods.filter(isReady).map(addressOf);
  const others = pods.filter((pod) => !isReady(pod)).map(addressOf);
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name, namespace, ...(labels && { labels: { ...labels } }) },
    subsets:
      pods.length === 0
        ? []
        : [
            {
              ...(ready.length > 0 && { addresses: ready }),
              ...(others.length > 0 && { notReadyAddresses: others }),
              ports: portsOf(service, pods[0]),
            },
          ],
  };
}

function sliceOf(service: StoredObject, pods: readonly StoredObject[]): NewObject {
  const { labels, name, namespace = "", uid } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      // Of the uid: the slice of an older Service of this name goes with that.
      name: `${name}-${uid.slice(0, 5)}`,
      namespace,
      labels: {
        ...labels,
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      },
      ownerReferences: [controllerReference(service)],
    },
    addressType: "IPv4",
    endpoints: pods.map((pod) => ({
      addresses: [pod.status.podIP],
      conditions: { ready: isReady(pod), serving: isReady(pod), terminating: false },
      nodeName: pod.spec.nodeName,
      targetRef: referenceTo(pod),
    })),
    ports: portsOf(service, pods[0]),
  };
}

function portsOf(service: StoredObject, pod: StoredObject | undefined): Json[] {
  const named = new Map<string, number>(
    ((pod?.spec.containers ?? []) as Json[])
      .flatMap(({ ports }) => (ports ?? []) as Json[])
      .map((port) => [port.name, port.containerPort]),
  );
  return ((service.spec.ports ?? []) as Json[]).map(({ name, port, protocol, targetPort }) => ({
    ...(name && { name }),
    port: typeof targetPort === "string" ? named.get(targetPort) : (targetPort ?? port),
    protocol,
  }));
}

const referenceTo = ({ metadata }: StoredObject): Json => ({
  kind: "Pod",
  namespace: metadata.namespace,
  name: metadata.name,
  uid: metadata.uid,
});
