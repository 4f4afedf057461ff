/**
 * A container's environment and command line as its spec says: `env`, `envFrom`, references, `$(NAME)`.
 * Proof: test/kubelet/environment.test.ts.
 * @module
 */
import { DmError } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { containerResource, podField } from "./downward-api.ts";

/** A container that cannot be made because of what its spec refers to; shown as `CreateContainerConfigError`. */
export class ContainerConfigError extends DmError {
  override readonly name = "ContainerConfigError";
  constructor(message: string) {
    super("DM_CONTAINER_CONFIG", message);
  }
}

export interface EnvironmentSources {
  readonly api: Pick<ClusterApi, "get">;
  readonly pod: StoredObject;
  readonly allocatable: Readonly<Record<string, string>>;
}

/**
 * `base` are variables that are there before; references in values see them.
 * @throws {ContainerConfigError} `DM_CONTAINER_CONFIG` when a Secret, ConfigMap or key that is not optional is missing.
 */
export function containerEnvironment(
  container: Json,
  sources: EnvironmentSources,
  base: Readonly<Record<string, string>>,
): Record<string, string> {
  const env: Record<string, string> = { ...base };
  for (const from of container.envFrom ?? []) {
    const kind = from.secretRef === undefined ? "ConfigMap" : "Secret";
    const reference = from.secretRef ?? from.configMapRef;
    if (reference === undefined) continue;
    const data = dataOf(sources, kind, reference.name);
    if (data === undefined) {
      if (reference.optional === true) continue;
      throw new ContainerConfigError(`${kind.toLowerCase()} "${reference.name}" not found`);
    }
    for (const [key, value] of Object.entries(data)) env[`${from.prefix ?? ""}${key}`] = value;
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined || valueFrom === null) {
      env[name] = expandReferences(value ?? "", env);
      continue;
    }
    const found = referredValue(valueFrom, container, sources);
    if (found !== undefined) env[name] = found;
  }
  return env;
}

/** `$(NAME)` becomes the value of a variable that there is, `$$` a dollar; all else stays. */
export function expandReferences(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()]+)\)/g, (whole, name: string | undefined) => {
    if (name === undefined) return "$";
    return Object.hasOwn(env, name) ? (env[name] as string) : whole;
  });
}

function referredValue(
  valueFrom: Json,
  container: Json,
  sources: EnvironmentSources,
): string | undefined {
  const { fieldRef, resourceFieldRef, secretKeyRef, configMapKeyRef } = valueFrom;
  if (fieldRef !== undefined) {
    const value = podField(sources.pod, fieldRef.fieldPath);
    if (value === undefined) {
      throw new ContainerConfigError(`unsupported fieldPath: ${fieldRef.fieldPath}`);
    }
    return value;
  }
  if (resourceFieldRef !== undefined) {
    return containerResource(container, resourceFieldRef, sources.allocatable);
  }
  const kind = secretKeyRef === undefined ? "ConfigMap" : "Secret";
  const { name, key, optional = false } = secretKeyRef ?? configMapKeyRef;
  const data = dataOf(sources, kind, name);
  if (data === undefined) {
    if (optional) return undefined;
    throw new ContainerConfigError(`${kind.toLowerCase()} "${name}" not found`);
  }
  const value = data[key];
  if (value === undefined && !optional) {
    throw new ContainerConfigError(
      `couldn't find key ${key} in ${kind} ${sources.pod.metadata.namespace}/${name}`,
    );
  }
  return value;
}

function dataOf(
  { api, pod }: EnvironmentSources,
  kind: "Secret" | "ConfigMap",
  name: string,
): Record<string, string> | undefined {
  const resource = kind === "Secret" ? "secrets" : "configmaps";
  const object = api.get(resource, pod.metadata.namespace ?? "", name);
  if (object === undefined) return undefined;
  const data: Record<string, string> = object["data"] ?? {};
  if (kind === "ConfigMap") return data;
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
  );
}
