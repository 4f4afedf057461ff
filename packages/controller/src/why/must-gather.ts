/**
 * What somebody needs who helps from afar, as files of a tar archive: objects of the operator's namespace, events, logs, versions,
 * and an explanation of everything that has failed or waits. Never a Secret's data. Reads only.
 *
 * Files come one by one, so that little is in memory; the index comes last, when everything is known.
 * Proof: test/why/must-gather.test.ts.
 * @module
 */
import { type Clock, isDmError, nsPerMs, systemClock } from "@dm/core";
import {
  configMaps,
  csiDrivers,
  daemonSets,
  deployments,
  events,
  jobs,
  type KubeEvent,
  type KubeObject,
  leases,
  nodes,
  persistentVolumeClaims,
  pods,
  type Resource,
  type Secret,
  secrets,
  storageClasses,
} from "@dm/crds";
import { type TarFile, tarEnd, tarParts } from "../bucket/tar-codec.ts";
import { type ApiResource, apiDiscovery } from "../runtime/api-discovery.ts";
import type { KubeCallOptions, KubeClient, ListOptions } from "../runtime/kube-client.ts";
import type { NodeKubeClient } from "../runtime/node-client.ts";
import { explain } from "./explain.ts";
import { explanationText } from "./explanation-text.ts";
import { gather } from "./gather.ts";
import { createRedactor, type Redactor } from "./redact.ts";
import { listAt, textAt, valueAt } from "./seen.ts";
import { verdictOf } from "./state.ts";
import { parseSubject, subjectKinds } from "./subjects.ts";

export type GatherClient = KubeClient & Pick<NodeKubeClient, "getPath" | "podLog">;

export interface MustGatherOptions extends KubeCallOptions {
  /** The operator's. */
  readonly namespace: string;
  /** Of the program that collects. */
  readonly version?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly onFile?: ((path: string) => void) | undefined;
}

/** Bounds: what a cluster holds has no end. */
export const mustGatherLimits = {
  objectsOfKind: 2_000,
  pods: 100,
  logLines: 5_000,
  logBytes: 2 << 20,
  allLogBytes: 100 << 20,
  explanations: 100,
} as const;

const groups: ReadonlySet<string> = new Set([
  "velero.io",
  "oadp.openshift.io",
  "snapshot.storage.k8s.io",
  "groupsnapshot.storage.k8s.io",
]);
const ownKinds: readonly Resource[] = [
  deployments,
  daemonSets,
  jobs,
  pods,
  configMaps,
  persistentVolumeClaims,
  leases,
];
const clusterKinds: readonly Resource[] = [nodes, storageClasses, csiDrivers];

/** The bytes of the archive. */
export async function* mustGatherTar(
  client: GatherClient,
  options: MustGatherOptions,
): AsyncGenerator<Uint8Array> {
  const { clock = systemClock } = options;
  const modifiedAt = new Date(Number(clock.nowNs() / nsPerMs));
  for await (const file of mustGather(client, options)) {
    options.onFile?.(file.path);
    yield* tarParts(file, modifiedAt);
  }
  yield tarEnd;
}

export async function* mustGather(
  client: GatherClient,
  options: MustGatherOptions,
): AsyncGenerator<TarFile> {
  const run = new Run(client, options);
  yield* run.files();
}

class Run {
  readonly #client: GatherClient;
  readonly #options: MustGatherOptions;
  readonly #nowMs: number;
  readonly #notRead: string[] = [];
  readonly #index: string[] = [];
  #redactor: Redactor = createRedactor();
  #logBytes = 0;

  constructor(client: GatherClient, options: MustGatherOptions) {
    this.#client = client;
    this.#options = options;
    this.#nowMs = Number((options.clock ?? systemClock).nowNs() / nsPerMs);
  }

  async *files(): AsyncGenerator<TarFile> {
    const { namespace } = this.#options;
    // First of all, for their values must be known wherever they turn up.
    const found = await this.#list(secrets, { namespace });
    const known = this.#notRead.length === 0;
    this.#redactor = createRedactor(found as Secret[]);
    const secretNames = found.map(({ metadata }) => metadata.name ?? "").sort();

    const served = await this.#served();
    yield await this.#versions();
    const troubled: string[] = [];
    this.#index.push("", "## Objects", "");
    for (const resource of [...served, ...ownKinds, ...clusterKinds]) {
      // Snapshots lie beside the claims that they were taken of.
      const isElsewhere = resource.group.endsWith("snapshot.storage.k8s.io");
      const where = resource.namespaced && !isElsewhere ? { namespace } : {};
      const objects = await this.#list(resource, where);
      if (objects.length === 0) continue;
      this.#index.push(kindLine(resource, objects));
      for (const object of objects) {
        yield this.#object(resource, object);
        if (subjectKinds.includes(resource.kind) && isTroubled(resource, object))
          troubled.push(subjectText(resource, object));
      }
      if (resource === pods) yield* this.#logs(objects);
    }
    yield* this.#events();
    yield* this.#explanations(troubled);
    this.#index.push(
      "",
      "## Secrets",
      "",
      known
        ? "By name; their data is not here, and its values were taken out of all files."
        : "They may not be read: what looks like a secret was taken out of all files, but look yourself before you give them away.",
      "",
    );
    this.#index.push(...secretNames.map((name) => `- ${name}`));
    if (this.#notRead.length > 0)
      this.#index.push("", "## Not collected", "", ...this.#notRead.map((text) => `- ${text}`));
    yield this.#file("index.md", this.#indexText());
  }

  async #versions(): Promise<TarFile> {
    const discovery = apiDiscovery(this.#client);
    const server = await this.#try("the version of the server", () =>
      discovery.serverVersion(this.#call),
    );
    const running = await this.#list(pods, { namespace: this.#options.namespace });
    const images = new Set(
      running.flatMap((pod) =>
        listAt(pod, "spec", "containers").map((container) => textAt(container, "image")),
      ),
    );
    const versions = {
      collectedAt: new Date(this.#nowMs).toISOString(),
      namespace: this.#options.namespace,
      program: this.#options.version ?? "unknown",
      kubernetes: server?.gitVersion ?? "unknown",
      images: [...images].sort(),
    };
    this.#index.push("## Versions", "");
    this.#index.push(
      `- Kubernetes ${versions.kubernetes}`,
      `- collected by dm ${versions.program}`,
    );
    this.#index.push(...versions.images.map((image) => `- image ${image}`));
    return this.#file("versions.json", json(versions));
  }

  async #served(): Promise<readonly ApiResource[]> {
    const all = await this.#try("the kinds that the server knows", () =>
      apiDiscovery(this.#client).resources(this.#call),
    );
    return (all ?? []).filter(({ group, verbs }) => groups.has(group) && verbs.includes("list"));
  }

  async *#logs(all: readonly KubeObject[]): AsyncGenerator<TarFile> {
    const { allLogBytes, logBytes, logLines } = mustGatherLimits;
    for (const pod of all.slice(0, mustGatherLimits.pods)) {
      const { name = "", namespace } = pod.metadata;
      for (const container of containersOf(pod)) {
        for (const previous of [false, true]) {
          if (previous && !container.restarted) continue;
          if (this.#logBytes >= allLogBytes) {
            this.#notRead.push(`the log of ${name}: enough logs`);
            continue;
          }
          const what = `the log of ${name}/${container.name}`;
          const log = await this.#try(what, () =>
            this.#client.podLog(
              { namespace, name },
              {
                ...this.#call,
                container: container.name,
                tailLines: logLines,
                limitBytes: logBytes,
                previous,
              },
            ),
          );
          if (log === undefined || log === "") continue;
          this.#logBytes += log.length;
          const file = `${container.name}${previous ? ".previous" : ""}.log`;
          yield this.#file(`logs/${name}/${file}`, log);
        }
      }
    }
  }

  async *#events(): AsyncGenerator<TarFile> {
    const { namespace } = this.#options;
    const found = (await this.#list(events, { namespace })) as KubeEvent[];
    const time = (event: KubeEvent): string =>
      event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp ?? "";
    const lines = found
      .sort((a, b) => (time(a) < time(b) ? -1 : 1))
      .map((event) => {
        const { count = 1, involvedObject, message = "", reason = "", type = "" } = event;
        const about = `${involvedObject.kind ?? ""}/${involvedObject.name ?? ""}`;
        return `${time(event)} ${type} ${about} ${reason} (${count}): ${message.replaceAll("\n", " ")}`;
      });
    const warnings = found.filter(({ type }) => type === "Warning").length;
    this.#index.push("", `## Events`, "", `events.txt: ${found.length}, warnings: ${warnings}`);
    yield this.#file("events.txt", `${lines.join("\n")}\n`);
  }

  async *#explanations(troubled: readonly string[]): AsyncGenerator<TarFile> {
    const { namespace } = this.#options;
    this.#index.push("", "## What has failed or waits", "");
    if (troubled.length === 0) this.#index.push("Nothing.");
    for (const subject of troubled.slice(0, mustGatherLimits.explanations)) {
      const told = await this.#try(`an explanation of ${subject}`, async () =>
        explain(
          await gather(this.#client, parseSubject(subject), { ...this.#call, namespace }),
          this.#nowMs,
        ),
      );
      if (told === undefined) continue;
      const file = `why/${subject.replaceAll("/", "-")}.txt`;
      const problems = told.problems.map(({ id }) => id).join(", ");
      this.#index.push(`- ${told.summary}${problems && ` [${problems}]`}: ${file}`);
      yield this.#file(file, explanationText(told));
    }
    if (troubled.length > mustGatherLimits.explanations)
      this.#notRead.push(`explanations of ${troubled.length - mustGatherLimits.explanations} more`);
  }

  get #call(): KubeCallOptions {
    return { signal: this.#options.signal };
  }

  async #list(resource: Resource, where: ListOptions): Promise<KubeObject[]> {
    const items: KubeObject[] = [];
    let from: string | undefined;
    do {
      const options = { ...where, ...this.#call, limit: 500, continue: from };
      const page = await this.#try(nameOf(resource), () => this.#client.list(resource, options));
      items.push(...(page?.items ?? []));
      from = page?.continue;
    } while (from !== undefined && items.length < mustGatherLimits.objectsOfKind);
    if (from !== undefined)
      this.#notRead.push(`${nameOf(resource)}: more than ${mustGatherLimits.objectsOfKind}`);
    return items.slice(0, mustGatherLimits.objectsOfKind);
  }

  /** What cannot be read is told in the index; the rest is collected all the same. */
  async #try<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      if (!isDmError(error) || error.code === "DM_KUBE_CONFIG") throw error;
      this.#notRead.push(`${what}: ${error.message}`);
      return undefined;
    }
  }

  /** Looked through text by text: as a whole it would not stay JSON. */
  #object(resource: Resource, object: KubeObject): TarFile {
    const clean = this.#redactor.object({ ...object, kind: resource.kind });
    const path = `must-gather/${pathOf(resource, object)}`;
    return { path, bytes: new TextEncoder().encode(json(clean)) };
  }

  /** Whatever else goes into a file has been looked through. */
  #file(path: string, text: string): TarFile {
    const bytes = new TextEncoder().encode(this.#redactor.text(text));
    return { path: `must-gather/${path}`, bytes };
  }

  #indexText(): string {
    const { namespace } = this.#options;
    const head = [
      "# What was collected",
      "",
      `Namespace ${namespace}, ${new Date(this.#nowMs).toISOString()}. Begin with "What has failed or waits"; the names in brackets are`,
      "sections of docs/guide/troubleshooting.md. Objects are in `objects/`, logs in `logs/<pod>/`, events in `events.txt`.",
      "",
    ];
    return `${[...head, ...this.#index].join("\n")}\n`;
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const nameOf = ({ group, plural }: Resource): string =>
  group === "" ? plural : `${plural}.${group}`;

function pathOf(resource: Resource, { metadata }: KubeObject): string {
  const { name = "", namespace } = metadata;
  return `objects/${nameOf(resource)}/${namespace ? `${namespace}/` : ""}${name}.json`;
}

/** `- backups.velero.io: 3 (Completed: 2, Failed: 1)`. */
function kindLine(resource: Resource, objects: readonly KubeObject[]): string {
  const phases = Object.groupBy(objects, (object) => textAt(object, "status", "phase"));
  const counts = Object.entries(phases).flatMap(([phase, all]) =>
    phase === "" ? [] : `${phase}: ${all?.length ?? 0}`,
  );
  return `- ${nameOf(resource)}: ${objects.length}${counts.length > 0 ? ` (${counts.join(", ")})` : ""}`;
}

function isTroubled(resource: Resource, object: KubeObject): boolean {
  const { name = "", namespace } = object.metadata;
  const { kind } = resource;
  const one = { kind, name, namespace, object, role: "subject", depth: 0, events: [] } as const;
  return verdictOf(one) !== "fine";
}

function subjectText({ kind }: Resource, { metadata }: KubeObject): string {
  return `${kind.toLowerCase()}/${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
}

function containersOf(pod: KubeObject): { readonly name: string; readonly restarted: boolean }[] {
  const statuses = [
    ...listAt(pod, "status", "initContainerStatuses"),
    ...listAt(pod, "status", "containerStatuses"),
  ];
  const specs = [...listAt(pod, "spec", "initContainers"), ...listAt(pod, "spec", "containers")];
  return specs.map((spec) => {
    const name = textAt(spec, "name");
    const status = statuses.find((one) => textAt(one, "name") === name);
    return { name, restarted: valueAt(status, "lastState", "terminated") !== undefined };
  });
}
