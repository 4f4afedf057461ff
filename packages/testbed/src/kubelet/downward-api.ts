/**
 * What a pod may be told about itself: `fieldRef` and `resourceFieldRef`, in the environment and in files.
 * Proof: test/kubelet/environment.test.ts.
 * @module
 */
import { parseQuantity } from "../controllers/resource-quantity.ts";
import type { Json, StoredObject } from "../kube-object.ts";

/** Undefined when the field is not one that may be asked for. Labels and annotations as a whole are lines of `key="value"`. */
export function podField(pod: StoredObject, fieldPath: string): string | undefined {
  const { metadata, spec, status } = pod;
  const one = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (one !== null) {
    const map = metadata[one[1] as "labels" | "annotations"] ?? {};
    return map[one[2] as string] ?? "";
  }
  switch (fieldPath) {
    case "metadata.name":
      return metadata.name;
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid;
    case "metadata.labels":
      return lines(metadata.labels);
    case "metadata.annotations":
      return lines(metadata.annotations);
    case "spec.nodeName":
      return spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec?.serviceAccountName ?? "default";
    case "status.hostIP":
      return status?.hostIP ?? "";
    case "status.hostIPs":
      return (status?.hostIPs ?? []).map(({ ip }: Json) => ip).join(",");
    case "status.podIP":
      return status?.podIP ?? "";
    case "status.podIPs":
      return (status?.podIPs ?? []).map(({ ip }: Json) => ip).join(",");
    default:
      return undefined;
  }
}

/** A container's own limit or request; without a limit, what the node has. */
export function containerResource(
  container: Json,
  { resource, divisor }: { resource: string; divisor?: string },
  allocatable: Readonly<Record<string, string>>,
): string | undefined {
  const match = /^(limits|requests)\.(.+)$/.exec(resource);
  if (match === null) return undefined;
  const [, group, name] = match as unknown as [string, string, string];
  const stated = container.resources?.[group]?.[name];
  const fallback = group === "limits" ? allocatable[name] : "0";
  const amount = parseQuantity(stated ?? fallback ?? "0");
  return String(
    Math.ceil(amount / parseQuantity(divisor === undefined || divisor === "0" ? "1" : divisor)),
  );
}

function lines(map: Readonly<Record<string, string>> = {}): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join("\n");
}
