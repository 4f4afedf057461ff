/**
 * What a pod may be told about itself: `fieldRef` and `resourceFieldRef`, in the environment and in files.
 * Proof: test/kubelet/environment.test.ts.
 * @module
 */
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
  const amount = quantity(stated ?? fallback ?? "0");
  return String(
    Math.ceil(amount / quantity(divisor === undefined || divisor === "0" ? "1" : divisor)),
  );
}

const scales: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

function quantity(text: string): number {
  const match = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/.exec(text);
  if (match === null) return 0;
  return Number(match[1]) * (match[2] === undefined ? 1 : (scales[match[2]] as number));
}

function lines(map: Readonly<Record<string, string>> = {}): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join("\n");
}
