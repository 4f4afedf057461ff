/**
 * Services: addresses and ports that the old cluster has chosen are chosen anew. Those that somebody asked for are kept: they stand in
 * what was applied, or in the fields that somebody manages.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Action, AnyObject } from "./action.ts";

interface Port {
  readonly name?: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly nodePort?: number;
}

interface ServiceSpec {
  readonly type?: string;
  readonly clusterIP?: string;
  readonly clusterIPs?: readonly string[];
  readonly ports?: readonly Port[];
  readonly externalTrafficPolicy?: string;
  readonly healthCheckNodePort?: number;
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

export const restoreService: Action = (object, { restore }) => {
  let spec = { ...(object["spec"] as ServiceSpec | undefined) };
  if (spec.clusterIP !== "None") {
    const { clusterIP: _address, clusterIPs: _addresses, ...others } = spec;
    spec = others;
  }
  if (restore.spec?.preserveNodePorts !== true) {
    const applied = appliedSpec(object);
    spec = withoutHealthPort(withoutNodePorts(spec, applied, object), applied, object);
  }
  return { ...object, spec };
};

function withoutNodePorts(
  spec: ServiceSpec,
  applied: ServiceSpec | undefined,
  object: AnyObject,
): ServiceSpec {
  if (spec.type === "ExternalName" || spec.ports === undefined) return spec;
  const isAsked = applied ? askedByApply(applied) : askedByManagers(object);
  return {
    ...spec,
    ports: spec.ports.map((port) => {
      const { nodePort: _number, ...others } = port;
      return isAsked(port) ? port : others;
    }),
  };
}

function askedByApply({ ports = [] }: ServiceSpec): (port: Port) => boolean {
  const asked = ports.filter(({ nodePort }) => Number(nodePort) > 0);
  return ({ name, nodePort }) =>
    asked.some((one) =>
      name ? one.name === name : !one.name && Number(one.nodePort) === nodePort,
    );
}

function askedByManagers(object: AnyObject): (port: Port) => boolean {
  const asked = new Set(
    managedSpecs(object).flatMap(({ "f:ports": ports = {} }) =>
      Object.entries(ports as Record<string, object>).flatMap(([key, fields]) =>
        "f:nodePort" in fields ? [key] : [],
      ),
    ),
  );
  return ({ port, protocol }) => asked.has(`k:{"port":${port},"protocol":"${protocol}"}`);
}

function withoutHealthPort(
  spec: ServiceSpec,
  applied: ServiceSpec | undefined,
  object: AnyObject,
): ServiceSpec {
  const isChecked = spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
  if (!isChecked || applied?.healthCheckNodePort) return spec;
  if (managedSpecs(object).some((fields) => "f:healthCheckNodePort" in fields)) return spec;
  const { healthCheckNodePort: _number, ...others } = spec;
  return others;
}

/** Undefined too when it cannot be read. */
function appliedSpec({ metadata }: AnyObject): ServiceSpec | undefined {
  try {
    const applied = JSON.parse(metadata.annotations?.[lastApplied] ?? "null") as {
      readonly spec?: ServiceSpec;
    } | null;
    return applied ? (applied.spec ?? {}) : undefined;
  } catch {
    return undefined;
  }
}

function managedSpecs({ metadata }: AnyObject): Readonly<Record<string, unknown>>[] {
  const entries = (metadata.managedFields ?? []) as readonly {
    readonly fieldsV1?: { readonly "f:spec"?: Readonly<Record<string, unknown>> };
  }[];
  return entries.flatMap(({ fieldsV1 }) => {
    const fields = fieldsV1?.["f:spec"];
    return fields ? [fields] : [];
  });
}
