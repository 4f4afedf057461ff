/**
 * The node agent's configuration: JSON under the one key, of any name, of a ConfigMap. A part that is invalid is left out and told
 * about, because a typing error must not stop all backups; a document that is none stops the start.
 * Proof: test/node-agent/node-agent-config.test.ts.
 * @module
 */
import { FormatError, NotFoundError } from "@dm/core";
import { type ConfigMap, configMaps, type LabelSelector, parseQuantity } from "@dm/crds";
import type {
  BackupClaimSettings,
  CacheClaimSettings,
  ExposerSettings,
  LoadAffinity,
  PodResources,
} from "../expose/exposer-settings.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { matchesSelector, selectorProblem } from "./label-selector.ts";

export interface NodeConcurrency {
  readonly nodeSelector: LabelSelector;
  readonly number: number;
}

export interface NodeAgentConfig {
  readonly globalConcurrency?: number | undefined;
  readonly perNodeConcurrency: readonly NodeConcurrency[];
  readonly prepareQueueLength?: number | undefined;
  readonly exposer: ExposerSettings;
  /** What was left out, and why: for the log. */
  readonly warnings: readonly string[];
}

export const emptyNodeAgentConfig: NodeAgentConfig = {
  perNodeConcurrency: [],
  exposer: {},
  warnings: [],
};

/**
 * @throws {NotFoundError} `DM_NODE_AGENT_CONFIG_NOT_FOUND`: who names a configuration wants it
 * @throws {FormatError} `DM_NODE_AGENT_CONFIG_INVALID`
 */
export async function readNodeAgentConfig(
  client: KubeClient,
  key: { readonly namespace: string; readonly name: string },
  options: KubeCallOptions = {},
): Promise<NodeAgentConfig> {
  const configMap = await client.get(configMaps, key, options);
  if (configMap === undefined)
    throw new NotFoundError(
      "DM_NODE_AGENT_CONFIG_NOT_FOUND",
      `error getting node agent configs from configMap ${key.name}: there is none in namespace ${key.namespace}`,
      key,
    );
  return parseNodeAgentConfig(configMap);
}

/** @throws {FormatError} `DM_NODE_AGENT_CONFIG_INVALID` when there is not exactly one key, or it holds no JSON object */
export function parseNodeAgentConfig({ metadata, data = {} }: ConfigMap): NodeAgentConfig {
  const { name = "" } = metadata;
  const refuse = (why: string): FormatError =>
    new FormatError("DM_NODE_AGENT_CONFIG_INVALID", `configMap ${name}: ${why}`, { name });
  const texts = Object.values(data);
  const [text] = texts;
  if (texts.length > 1 || text === undefined)
    throw refuse(`it has ${texts.length} keys of data; one holds the configuration`);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw refuse(`its data is no JSON: ${(error as Error).message}`);
  }
  if (!isObject(document)) throw refuse("its data is no JSON object");
  return new Reader().config(document);
}

/**
 * How many data paths may run at once on a node with these labels: the smallest number of the rules that match it, else the number
 * for all nodes, else 1.
 */
export function concurrencyOn(
  { globalConcurrency, perNodeConcurrency }: NodeAgentConfig,
  nodeLabels: Readonly<Record<string, string>>,
): number {
  const numbers = perNodeConcurrency
    .filter(({ nodeSelector }) => matchesSelector(nodeSelector, nodeLabels))
    .map(({ number }) => number);
  return numbers.length > 0 ? Math.min(...numbers) : (globalConcurrency ?? 1);
}

type Json = Record<string, unknown>;

/** Every method gives what is valid of its part. */
class Reader {
  readonly #warnings: string[] = [];

  config(document: Json): NodeAgentConfig {
    const load = this.#object(document, "loadConcurrency");
    const loadPath = "loadConcurrency.";
    return {
      globalConcurrency: this.#positive(load, "globalConfig", loadPath),
      perNodeConcurrency: this.#list(load, "perNodeConfig", loadPath).flatMap(([rule, path]) => {
        const nodeSelector = this.#selector(rule, path);
        const number = this.#positive(rule, "number", path);
        return nodeSelector && number ? [{ nodeSelector, number }] : [];
      }),
      prepareQueueLength: this.#positive(load, "prepareQueueLength", loadPath),
      exposer: this.#exposer(document),
      warnings: this.#warnings,
    };
  }

  #exposer(document: Json): ExposerSettings {
    const restore = this.#object(document, "restorePVC");
    const loadAffinity = this.#list(document, "loadAffinity").flatMap(([entry, path]) =>
      this.#affinity(entry, path),
    );
    const backupPVC = Object.fromEntries(
      Object.keys(this.#object(document, "backupPVC")).map((storageClass) => [
        storageClass,
        this.#backupClaim(this.#object(document, "backupPVC"), storageClass),
      ]),
    );
    return compact({
      loadAffinity: loadAffinity.length > 0 ? loadAffinity : undefined,
      backupPVC: Object.keys(backupPVC).length > 0 ? backupPVC : undefined,
      restorePVC: compact({
        ignoreDelayBinding: this.#flag(restore, "ignoreDelayBinding", "restorePVC."),
      }),
      podResources: this.#resources(this.#object(document, "podResources")),
      podLabels: this.#texts(document, "podLabels"),
      podAnnotations: this.#texts(document, "podAnnotations"),
      priorityClassName: this.#text(document, "priorityClassName"),
      cachePVC: this.#cacheClaim(this.#object(document, "cachePVC")),
      privilegedFsBackup: this.#flag(document, "privilegedFsBackup"),
    });
  }

  #affinity(entry: Json, path: string): LoadAffinity[] {
    const nodeSelector = this.#selector(entry, path);
    if (nodeSelector === undefined) return [];
    return [compact({ nodeSelector, storageClass: this.#text(entry, "storageClass", path) })];
  }

  #backupClaim(claims: Json, storageClass: string): BackupClaimSettings {
    const path = `backupPVC.${storageClass}.`;
    const claim = this.#object(claims, storageClass, "backupPVC.");
    return compact({
      storageClass: this.#text(claim, "storageClass", path),
      readOnly: this.#flag(claim, "readOnly", path),
      spcNoRelabeling: this.#flag(claim, "spcNoRelabeling", path),
      annotations: this.#texts(claim, "annotations", path),
    });
  }

  #resources(given: Json): PodResources | undefined {
    const quantity = (name: keyof PodResources): string | undefined => {
      const text = this.#text(given, name, "podResources.");
      if (text === undefined || text === "" || parseQuantity(text) !== undefined) return text;
      this.#warn(`podResources.${name}`, `"${text}" is no quantity`);
      return undefined;
    };
    const resources = compact({
      cpuRequest: quantity("cpuRequest"),
      cpuLimit: quantity("cpuLimit"),
      memoryRequest: quantity("memoryRequest"),
      memoryLimit: quantity("memoryLimit"),
      ephemeralStorageRequest: quantity("ephemeralStorageRequest"),
      ephemeralStorageLimit: quantity("ephemeralStorageLimit"),
    });
    return Object.keys(resources).length > 0 ? resources : undefined;
  }

  #cacheClaim(given: Json): CacheClaimSettings | undefined {
    const path = "cachePVC.";
    const storageClass = this.#text(given, "storageClass", path);
    if (!storageClass) {
      if (Object.keys(given).length > 0) this.#warn("cachePVC", "it names no storageClass");
      return undefined;
    }
    const residentThresholdInMB = this.#positive(given, "residentThresholdInMB", path);
    return compact({ storageClass, residentThresholdInMB });
  }

  #selector(from: Json, path: string): LabelSelector | undefined {
    const { nodeSelector } = from;
    const problem = selectorProblem(nodeSelector);
    if (problem === undefined) return nodeSelector as LabelSelector;
    this.#warn(`${path}nodeSelector`, problem);
    return undefined;
  }

  /** Zero and less stand for "not set". */
  #positive(from: Json, name: string, path = ""): number | undefined {
    const value = from[name];
    if (value === undefined || value === null || value === 0) return undefined;
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
    this.#warn(path + name, `${JSON.stringify(value)} is no number above 0`);
    return undefined;
  }

  #text(from: Json, name: string, path = ""): string | undefined {
    return this.#typed<string>(from, name, path, "string", "no text");
  }

  #flag(from: Json, name: string, path = ""): boolean | undefined {
    return this.#typed<boolean>(from, name, path, "boolean", "neither true nor false");
  }

  #texts(from: Json, name: string, path = ""): Record<string, string> | undefined {
    if (from[name] === undefined || from[name] === null) return undefined;
    const object = this.#object(from, name, path);
    const entries = Object.keys(object).map(
      (key) => [key, this.#text(object, key, `${path}${name}.`)] as const,
    );
    return Object.fromEntries(
      entries.filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
  }

  #object(from: Json, name: string, path = ""): Json {
    const value = from[name];
    if (value === undefined || value === null) return {};
    if (isObject(value)) return value;
    this.#warn(path + name, "it is no object");
    return {};
  }

  /** Objects of a list, with the path of each. */
  #list(from: Json, name: string, path = ""): readonly (readonly [Json, string])[] {
    const value = from[name];
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.#warn(path + name, "it is no list");
      return [];
    }
    return value.flatMap((entry: unknown, index) => {
      const at = `${path}${name}[${index}]`;
      if (isObject(entry)) return [[entry, `${at}.`] as const];
      this.#warn(at, "it is no object");
      return [];
    });
  }

  #typed<T>(from: Json, name: string, path: string, type: string, problem: string): T | undefined {
    const value = from[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value === type) return value as T;
    this.#warn(path + name, `${JSON.stringify(value)} is ${problem}`);
    return undefined;
  }

  #warn(path: string, problem: string): void {
    this.#warnings.push(`ignored ${path}: ${problem}`);
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Without what is undefined. */
function compact<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
