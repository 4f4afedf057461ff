/**
 * Cluster IPs and node ports of Services, as a real server gives them out: each once, kept over updates. Nothing listens there;
 * pods find each other by the Endpoints.
 * Proof: test/api-server/service-addresses.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import type { FieldError } from "./api-error.ts";

/** Of 10.96.0.0/16, without the network's own. */
const addressCount = 65_534;
const nodePorts = { first: 30_000, count: 2_768 };

/** Fills in what is missing, in place; `others` are all stored Services, an older version of this one included. */
export function assignAddresses(service: StoredObject, others: Iterable<StoredObject>): void {
  const { metadata, spec } = service;
  if (spec.type === "ExternalName") return;
  const takenAddresses = new Set<string>();
  const takenPorts = new Set<number>();
  let before: Json;
  for (const other of others) {
    if (isSame(other, service)) before = other.spec;
    else {
      takenAddresses.add(other.spec?.clusterIP);
      for (const { nodePort } of other.spec?.ports ?? []) takenPorts.add(nodePort);
    }
  }
  spec.clusterIP ||= before?.clusterIP || freeAddress(metadata.uid, takenAddresses);
  spec.clusterIPs ??= [spec.clusterIP];
  spec.ipFamilies ??= ["IPv4"];
  spec.ipFamilyPolicy ??= "SingleStack";
  if (spec.type !== "NodePort" && spec.type !== "LoadBalancer") return;
  for (const port of spec.ports ?? []) {
    const known = (before?.ports ?? []).find((one: Json) => one.port === port.port)?.nodePort;
    port.nodePort ||= known || freePort(takenPorts);
    takenPorts.add(port.nodePort);
  }
}

/** What a real server says when somebody asks for what another Service has. */
export function checkAddresses(
  service: StoredObject,
  others: Iterable<StoredObject>,
  errors: FieldError[],
): void {
  const { clusterIP, ports = [] } = service.spec;
  for (const other of others) {
    if (isSame(other, service)) continue;
    if (clusterIP && clusterIP !== "None" && other.spec?.clusterIP === clusterIP) {
      errors.push({
        reason: "FieldValueInvalid",
        field: "spec.clusterIPs",
        message: `Invalid value: ${JSON.stringify([clusterIP])}: failed to allocate IP ${clusterIP}: provided IP is already allocated`,
      });
    }
    for (const [index, { nodePort }] of (ports as Json[]).entries()) {
      if (!nodePort) continue;
      if (!(other.spec?.ports ?? []).some((one: Json) => one.nodePort === nodePort)) continue;
      errors.push({
        reason: "FieldValueInvalid",
        field: `spec.ports[${index}].nodePort`,
        message: `Invalid value: ${nodePort}: provided port is already allocated`,
      });
    }
  }
}

const isSame = (a: StoredObject, b: StoredObject): boolean =>
  a.metadata.name === b.metadata.name && a.metadata.namespace === b.metadata.namespace;

/** By the uid, so that a Service that is made again has another one, as it would have. */
function freeAddress(uid: string, taken: ReadonlySet<string>): string {
  const start = Number.parseInt(uid.replaceAll("-", "").slice(-8), 16) || 0;
  for (let step = 0; step < addressCount; step++) {
    const number = 1 + ((start + step) % addressCount);
    const address = `10.96.${number >> 8}.${number & 255}`;
    if (!taken.has(address)) return address;
  }
  throw new Error("the range of cluster IPs is full");
}

function freePort(taken: ReadonlySet<number>): number {
  for (let step = 0; step < nodePorts.count; step++)
    if (!taken.has(nodePorts.first + step)) return nodePorts.first + step;
  throw new Error("the range of node ports is full");
}
