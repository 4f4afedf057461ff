/**
 * Volume policies: rules of a ConfigMap (`spec.resourcePolicy`) that say of each volume how it is backed up. The first rule whose
 * conditions all hold decides. Pure but for the loading of the YAML reader.
 * Proof: test/backup/volume-policy.test.ts.
 * @module
 */
import {
  type ConfigMap,
  type PersistentVolume,
  type PersistentVolumeClaim,
  parseQuantity,
  type Volume,
} from "@dm/crds";

export type VolumeAction = "skip" | "snapshot" | "fs-backup" | "custom";

/** A volume as rules see it: of the cluster, or one that only its pod has. */
export interface PolicyVolume {
  readonly volume?: PersistentVolume | undefined;
  readonly podVolume?: Volume | undefined;
  readonly claim?: PersistentVolumeClaim | undefined;
}

/** What the first rule that fits says; undefined when none does. */
export type VolumePolicy = (volume: PolicyVolume) => VolumeAction | undefined;

type Condition = (volume: PolicyVolume) => boolean;

/** The policy, or why there is none. */
export async function readVolumePolicy({
  data = {},
  metadata,
}: ConfigMap): Promise<VolumePolicy | { readonly problem: string }> {
  const named = `${metadata.namespace}/${metadata.name}`;
  const [text, ...others] = Object.values(data);
  if (text === undefined || others.length > 0)
    return { problem: `illegal resource policies ${named} configmap: it must have one key` };
  // Loaded by servers only, and only then: it is large.
  const { loadYaml } = await import("@kubernetes/client-node");
  try {
    return volumePolicyIn(loadYaml(text));
  } catch (error) {
    return {
      problem: `fail to read the ResourcePolicies from ConfigMap ${named}: ${(error as Error).message}`,
    };
  }
}

/** @throws {Error} that names what is wrong with the document */
export function volumePolicyIn(document: unknown): VolumePolicy {
  const { version, volumePolicies = [], ...unknown } = fieldsOf(document, "the document");
  if (version !== "v1")
    throw new Error(`incompatible version number ${version} with supported version v1`);
  refuseOthers(unknown, "the document");
  const rules = listOf(volumePolicies, "volumePolicies").map(ruleIn);
  return (volume) =>
    rules.find(({ conditions }) => conditions.every((holds) => holds(volume)))?.action;
}

const actions: readonly VolumeAction[] = ["skip", "snapshot", "fs-backup", "custom"];

function ruleIn(rule: unknown): { action: VolumeAction; conditions: Condition[] } {
  const { action, conditions, ...unknown } = fieldsOf(rule, "a volume policy");
  refuseOthers(unknown, "a volume policy");
  const { type } = fieldsOf(action, "action");
  const known = actions.find((one) => one === type);
  if (known === undefined) throw new Error(`invalid action type ${type}`);
  return {
    action: known,
    conditions: Object.entries(fieldsOf(conditions ?? {}, "conditions")).map(([name, value]) => {
      const make = makers[name];
      if (make === undefined) throw new Error(`field ${name} not found in conditions`);
      return make(value);
    }),
  };
}

const makers: Readonly<Record<string, (value: unknown) => Condition>> = {
  capacity: (value) => {
    const [lower = 0n, upper = 0n] = range(value);
    return ({ volume }) => {
      const size = parseQuantity(volume?.spec.capacity?.["storage"] ?? "0") ?? 0n;
      return size >= lower && (upper === 0n || size <= upper);
    };
  },
  storageClass: (value) => {
    const names = texts(value, "storageClass");
    return ({ volume }) => names.includes(volume?.spec.storageClassName ?? "");
  },
  nfs: (value) => {
    const { path, server } = fieldsOf(value ?? {}, "nfs");
    return (seen) => {
      const nfs = sourceOf(seen)["nfs"] as { path?: unknown; server?: unknown } | undefined;
      return (
        nfs !== undefined && (!path || nfs.path === path) && (!server || nfs.server === server)
      );
    };
  },
  csi: (value) => {
    const { driver, volumeAttributes } = fieldsOf(value ?? {}, "csi");
    const wanted = Object.entries(fieldsOf(volumeAttributes ?? {}, "volumeAttributes"));
    return (seen) => {
      const csi = sourceOf(seen)["csi"] as
        | { driver?: unknown; volumeAttributes?: Record<string, unknown> }
        | undefined;
      if (csi === undefined) return false;
      if (!driver) return true;
      return (
        csi.driver === driver && wanted.every(([key, text]) => csi.volumeAttributes?.[key] === text)
      );
    };
  },
  volumeTypes: (value) => {
    const types = texts(value, "volumeTypes");
    return (seen) => types.some((type) => sourceOf(seen)[type] !== undefined);
  },
  pvcLabels: (value) => {
    const wanted = Object.entries(fieldsOf(value, "pvcLabels"));
    return ({ claim }) => wanted.every(([key, text]) => claim?.metadata.labels?.[key] === text);
  },
  pvcPhase: (value) => {
    const phases = texts(value, "pvcPhase");
    return ({ claim }) => phases.includes(claim?.status?.phase ?? "");
  },
};

/** `10Gi,100Gi`; either end may be open. */
function range(value: unknown): bigint[] {
  const ends = String(value ?? "").split(",");
  const sizes = ends.map((end) => (end.trim() === "" ? 0n : parseQuantity(end.trim())));
  if (ends.length !== 2 || sizes.includes(undefined))
    throw new Error(`wrong format of Capacity ${value}`);
  return sizes as bigint[];
}

/** The types of the volume, by name. */
function sourceOf({ podVolume, volume }: PolicyVolume): Readonly<Record<string, unknown>> {
  return (volume?.spec ?? podVolume ?? {}) as Record<string, unknown>;
}

function fieldsOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new Error(`${what} must be a map`);
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Error(`${what} must be a list`);
}

const texts = (value: unknown, what: string): readonly string[] => listOf(value, what).map(String);

function refuseOthers(fields: Readonly<Record<string, unknown>>, what: string): void {
  const [name] = Object.keys(fields);
  if (name !== undefined) throw new Error(`field ${name} of ${what} is not supported`);
}
