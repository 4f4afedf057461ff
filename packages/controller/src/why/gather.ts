/**
 * Looks at an object and at everything that it depends on. Reads only; each look may fail by itself (rights that are missing, kinds
 * that are not served) and is then told as such. Secrets are never read.
 * Proof: test/why/gather.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import {
  annotations,
  backupRepositories,
  backupStorageLocations,
  backups,
  daemonSets,
  dataDownloads,
  dataUploads,
  deployments,
  events,
  jobs,
  type KubeEvent,
  type KubeObject,
  labels,
  labelValue,
  leases,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  podVolumeBackups,
  podVolumeRestores,
  type Resource,
  repositoryLabelValue,
  restores,
  storageClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions, KubeClient, ListOptions } from "../runtime/kube-client.ts";
import { keyText } from "../runtime/object-key.ts";
import {
  phaseText,
  type Role,
  type Seen,
  type SeenObject,
  textAt,
  titleOf,
  transferKinds,
  valueAt,
} from "./seen.ts";
import type { SubjectRef } from "./subjects.ts";

export interface GatherOptions extends KubeCallOptions {
  /** The operator's. */
  readonly namespace: string;
}

/** Of many volumes those are looked at closely that did not end well, as many as these. */
const closelySeen = 5;
const mostObjects = 200;
const pageItems = 500;
const mostPages = 20;
const concurrency = 8;

/** Everything that has to do with one object. */
export async function gather(
  client: KubeClient,
  ref: SubjectRef,
  options: GatherOptions,
): Promise<Seen> {
  const look = new Look(client, options);
  await look.at(ref);
  return look.seen();
}

type Loose = KubeObject & { readonly spec?: unknown };

class Look {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #options: KubeCallOptions;
  readonly #objects: SeenObject[] = [];
  readonly #notRead = new Set<string>();
  readonly #known = new Set<string>();

  constructor(client: KubeClient, { namespace, signal }: GatherOptions) {
    this.#client = client;
    this.#namespace = namespace;
    this.#options = { signal };
  }

  async at({ resource, name, namespace = this.#namespace }: SubjectRef): Promise<void> {
    const object = await this.#get("subject", resource, namespace, name, 0);
    if (object === undefined) return;
    switch (resource.kind) {
      case "Backup":
        await this.#backup(object, 1);
        break;
      case "Restore":
        await this.#restore(object, 1);
        break;
      case "BackupRepository":
        await this.#repository(object, 1);
        break;
      case "BackupStorageLocation":
        break;
      case "Schedule":
        await this.#schedule(object);
        break;
      case "DeleteBackupRequest":
        await this.#deletion(object);
        break;
      case "PersistentVolumeClaim":
        await this.#claim(object);
        break;
      case "DataProtectionApplication":
        await this.#application(object);
        break;
      default:
        await this.#transfer(resource.kind, object, 1);
    }
    await this.#operator(1);
  }

  /** With the events of each object. */
  async seen(): Promise<Seen> {
    const objects = await mapConcurrent(
      this.#objects,
      async (one) => ({ ...one, events: await this.#eventsOf(one) }),
      { concurrency, signal: this.#options.signal },
    );
    return { namespace: this.#namespace, objects, notRead: [...this.#notRead] };
  }

  async #backup(backup: KubeObject, depth: number): Promise<void> {
    const { name = "" } = backup.metadata;
    await this.#location(textAt(backup, "spec", "storageLocation"), depth);
    const labelSelector = `${labels.backupName}=${labelValue(name)}`;
    await this.#transfers([dataUploads, podVolumeBackups], labelSelector, depth);
    for (const snapshot of await this.#list(volumeSnapshots, { labelSelector }))
      this.#add("source snapshot", volumeSnapshots, snapshot, depth);
    if (["New", "Queued"].includes(textAt(backup, "status", "phase") || "New"))
      await this.#queue(backup, depth);
  }

  /** Backups that run, or stand before this one. */
  async #queue(backup: KubeObject, depth: number): Promise<void> {
    const place = Number(textAt(backup, "status", "queuePosition") || "Infinity");
    for (const other of await this.#list(backups, { namespace: this.#namespace })) {
      const phase = textAt(other, "status", "phase");
      const isBefore =
        phase === "Queued" && Number(textAt(other, "status", "queuePosition")) < place;
      const runs = phase === "InProgress" || phase === "ReadyToStart";
      if (other.metadata.uid !== backup.metadata.uid && (isBefore || runs))
        this.#add("earlier", backups, other, depth);
    }
  }

  async #restore(restore: KubeObject, depth: number): Promise<void> {
    const { name = "" } = restore.metadata;
    const backupName = textAt(restore, "spec", "backupName");
    if (backupName !== "") {
      const backup = await this.#get("backup", backups, this.#namespace, backupName, depth);
      await this.#location(textAt(backup, "spec", "storageLocation"), depth);
    }
    const labelSelector = `${labels.restoreName}=${labelValue(name)}`;
    await this.#transfers([dataDownloads, podVolumeRestores], labelSelector, depth);
  }

  /** All of them, those that did not end well closely. */
  async #transfers(
    kinds: readonly Resource[],
    labelSelector: string,
    depth: number,
  ): Promise<void> {
    const options = { namespace: this.#namespace, labelSelector };
    let closely = closelySeen;
    for (const resource of kinds) {
      const found = await this.#list(resource, options);
      const isOver = (object: KubeObject): boolean =>
        textAt(object, "status", "phase") === "Completed";
      for (const object of found.toSorted((a, b) => Number(isOver(a)) - Number(isOver(b)))) {
        this.#add("transfer", resource, object, depth);
        if (isOver(object) || closely-- <= 0) continue;
        await this.#transfer(resource.kind, object, depth + 1);
      }
    }
  }

  async #transfer(kind: string, transfer: Loose, depth: number): Promise<void> {
    const { name = "" } = transfer.metadata;
    const { spec } = transfer;
    const own = this.#namespace;
    const pod = await this.#get("hosting pod", pods, own, name, depth);
    if (kind === "DataUpload") {
      const source = textAt(spec, "sourceNamespace");
      await this.#hostingClaim(name, depth);
      await this.#snapshot("snapshot", own, name, depth);
      const snapshot = textAt(spec, "csiSnapshot", "volumeSnapshot");
      if (snapshot !== "") await this.#snapshot("source snapshot", source, snapshot, depth);
      const claim = textAt(spec, "sourcePVC");
      await this.#get("source claim", persistentVolumeClaims, source, claim, depth);
    }
    if (kind === "DataDownload") {
      await this.#hostingClaim(name, depth);
      const namespace = textAt(spec, "targetVolume", "namespace");
      const claimName = textAt(spec, "targetVolume", "pvc");
      const claim = await this.#get(
        "target claim",
        persistentVolumeClaims,
        namespace,
        claimName,
        depth,
      );
      await this.#storageClass(claim, depth);
    }
    if (kind === "PodVolumeBackup" || kind === "PodVolumeRestore") {
      const [namespace, podName] = [textAt(spec, "pod", "namespace"), textAt(spec, "pod", "name")];
      if (podName !== "") await this.#get("pod of the volume", pods, namespace, podName, depth);
    }
    const node =
      textAt(transfer, "status", "node") || textAt(pod, "spec", "nodeName") || textAt(spec, "node");
    if (node !== "") await this.#get("node", nodes, "", node, depth);
    const location = textAt(spec, "backupStorageLocation");
    await this.#location(location, depth);
    const volumeNamespace =
      kind === "PodVolumeBackup"
        ? textAt(spec, "pod", "namespace")
        : textAt(spec, "sourceNamespace");
    await this.#repositoriesOf(volumeNamespace, location, depth);
  }

  async #hostingClaim(name: string, depth: number): Promise<void> {
    const own = this.#namespace;
    const claim = await this.#get("hosting claim", persistentVolumeClaims, own, name, depth);
    const volume = textAt(claim, "spec", "volumeName");
    if (volume !== "") await this.#get("hosting volume", persistentVolumes, "", volume, depth);
  }

  async #snapshot(role: Role, namespace: string, name: string, depth: number): Promise<void> {
    const snapshot = await this.#get(role, volumeSnapshots, namespace, name, depth);
    const content = textAt(snapshot, "status", "boundVolumeSnapshotContentName");
    if (content !== "")
      await this.#get("snapshot content", volumeSnapshotContents, "", content, depth);
  }

  async #storageClass(claim: KubeObject | undefined, depth: number): Promise<void> {
    const name = textAt(claim, "spec", "storageClassName");
    if (name !== "") await this.#get("storage class", storageClasses, "", name, depth);
  }

  async #location(name: string, depth: number): Promise<void> {
    if (name !== "")
      await this.#get("location", backupStorageLocations, this.#namespace, name, depth);
  }

  async #repositoriesOf(volumeNamespace: string, location: string, depth: number): Promise<void> {
    if (volumeNamespace === "" || location === "") return;
    for (const repository of await this.#list(backupRepositories, { namespace: this.#namespace }))
      if (
        textAt(repository, "spec", "volumeNamespace") === volumeNamespace &&
        textAt(repository, "spec", "backupStorageLocation") === location
      )
        this.#add("repository", backupRepositories, repository, depth);
  }

  async #repository(repository: KubeObject, depth: number): Promise<void> {
    await this.#location(textAt(repository, "spec", "backupStorageLocation"), depth);
    const name = repository.metadata.name ?? "";
    const labelSelector = `${labels.repoName}=${repositoryLabelValue(name)}`;
    const options = { namespace: this.#namespace, labelSelector };
    for (const resource of [jobs, pods] as Resource[])
      for (const object of await this.#list(resource, options))
        this.#add("maintenance", resource, object, depth);
  }

  async #schedule(schedule: KubeObject): Promise<void> {
    const { name = "" } = schedule.metadata;
    await this.#location(textAt(schedule, "spec", "template", "storageLocation"), 1);
    const options = {
      namespace: this.#namespace,
      labelSelector: `${labels.scheduleName}=${labelValue(name)}`,
    };
    const made = await this.#list(backups, options);
    const age = ({ metadata }: KubeObject): string => metadata.creationTimestamp ?? "";
    const latest = made.sort((a, b) => (age(a) < age(b) ? 1 : -1)).slice(0, 3);
    for (const backup of latest) this.#add("backup", backups, backup, 1);
  }

  async #deletion(request: KubeObject): Promise<void> {
    const name = textAt(request, "spec", "backupName");
    const backup =
      name === "" ? undefined : await this.#get("backup", backups, this.#namespace, name, 1);
    await this.#location(textAt(backup, "spec", "storageLocation"), 1);
    const restored = await this.#list(restores, { namespace: this.#namespace });
    for (const restore of restored)
      if (name !== "" && textAt(restore, "spec", "backupName") === name)
        this.#add("restore", restores, restore, 1);
  }

  /** Whatever moves, or has moved, this claim's data; the latest of each kind closely. */
  async #claim(claim: KubeObject): Promise<void> {
    const { name = "", namespace = "" } = claim.metadata;
    await this.#storageClass(claim, 1);
    const volume = textAt(claim, "spec", "volumeName");
    if (volume !== "") await this.#get("hosting volume", persistentVolumes, "", volume, 1);
    const concerns: readonly (readonly [Resource, (object: KubeObject) => boolean])[] = [
      [
        dataUploads,
        (object) =>
          textAt(object, "spec", "sourceNamespace") === namespace &&
          textAt(object, "spec", "sourcePVC") === name,
      ],
      [
        dataDownloads,
        (object) =>
          textAt(object, "spec", "targetVolume", "namespace") === namespace &&
          textAt(object, "spec", "targetVolume", "pvc") === name,
      ],
      [
        podVolumeBackups,
        ({ metadata }) =>
          metadata.annotations?.[annotations.pvcName] === name &&
          metadata.labels?.[labels.pvcUid] === claim.metadata.uid,
      ],
    ];
    for (const [resource, isOwn] of concerns) {
      const found = await this.#list(resource, { namespace: this.#namespace });
      const age = ({ metadata }: KubeObject): string => metadata.creationTimestamp ?? "";
      const latest = found.filter(isOwn).sort((a, b) => (age(a) < age(b) ? 1 : -1))[0];
      if (latest === undefined) continue;
      this.#add("transfer", resource, latest, 1);
      await this.#transfer(resource.kind, latest, 2);
    }
    for (const snapshot of await this.#list(volumeSnapshots, { namespace }))
      if (textAt(snapshot, "spec", "source", "persistentVolumeClaimName") === name)
        this.#add("source snapshot", volumeSnapshots, snapshot, 1);
  }

  async #application(application: KubeObject): Promise<void> {
    const { uid } = application.metadata;
    const isOwn = ({ metadata }: KubeObject): boolean =>
      metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
    for (const location of await this.#list(backupStorageLocations, {
      namespace: this.#namespace,
    }))
      if (isOwn(location)) this.#add("location", backupStorageLocations, location, 1);
  }

  /** Who does the work: node agents, the server, and who of several servers leads. */
  async #operator(depth: number): Promise<void> {
    const options = { namespace: this.#namespace };
    const owners: [Role, Resource, KubeObject][] = [];
    for (const object of await this.#list(daemonSets, options))
      if (object.metadata.name?.includes("node-agent"))
        owners.push(["node agent", daemonSets, object]);
    for (const object of await this.#list(deployments, options))
      if (/^(velero|dm-server)$/.test(object.metadata.name ?? ""))
        owners.push(["server", deployments, object]);
    const all = await this.#list(pods, options);
    for (const [role, resource, owner] of owners) {
      this.#add(role, resource, owner, depth);
      for (const pod of all) if (isSelected(owner, pod)) this.#add(role, pods, pod, depth + 1);
    }
    for (const lease of await this.#list(leases, options))
      if (/^(velero|dm)-?(server)?$/.test(lease.metadata.name ?? ""))
        this.#add("lease", leases, lease, depth);
  }

  /** Told as absent when it is not there. */
  async #get<T extends KubeObject>(
    role: Role,
    resource: Resource<T>,
    namespace: string,
    name: string,
    depth: number,
  ): Promise<T | undefined> {
    const key = { namespace, name };
    const what = `${resource.kind} ${keyText(key)}`;
    const object = await this.#try(what, () => this.#client.get(resource, key, this.#options));
    if (object === "unknown") return undefined;
    if (object !== undefined) this.#add(role, resource, object, depth);
    else this.#push({ role, kind: resource.kind, namespace, name, depth, object, events: [] });
    return object;
  }

  async #list<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<T[]> {
    const where = options.namespace === undefined ? "" : ` in ${options.namespace}`;
    const found: T[] = [];
    let from: string | undefined;
    for (let page = 0; page < mostPages; page++) {
      const list = { ...options, ...this.#options, limit: pageItems, continue: from };
      const got = await this.#try(`${resource.plural}${where}`, () =>
        this.#client.list(resource, list),
      );
      if (got === undefined || got === "unknown") break;
      found.push(...got.items);
      from = got.continue;
      if (from === undefined) break;
    }
    return found;
  }

  async #try<T>(what: string, ask: () => Promise<T>): Promise<T | "unknown"> {
    try {
      return await ask();
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      const isOwnAffair =
        isDmError(error, "DM_KUBE_FORBIDDEN") ||
        isDmError(error, "DM_KUBE_NOT_FOUND") ||
        isDmError(error, "DM_KUBE_INVALID");
      if (!isOwnAffair) throw error;
      this.#notRead.add(`${what}: ${error.message}`);
      return "unknown";
    }
  }

  #add(role: Role, resource: Resource, object: KubeObject, depth: number): void {
    const { name = "", namespace } = object.metadata;
    this.#push({ role, kind: resource.kind, namespace, name, depth, object, events: [] });
  }

  #push(one: SeenObject): void {
    const id = titleOf(one);
    if (this.#known.has(id) || this.#objects.length >= mostObjects) return;
    this.#known.add(id);
    this.#objects.push(one);
  }

  async #eventsOf({ kind, object, role }: SeenObject): Promise<KubeEvent[]> {
    const uid = object?.metadata.uid;
    // What went well, and what is always there, need not be asked about.
    const isQuiet =
      role !== "subject" &&
      (transferKinds.has(kind) || kind === "Backup") &&
      phaseText({ object }) === "Completed";
    if (uid === undefined || kind === "StorageClass" || kind === "Lease" || isQuiet) return [];
    const namespace = object?.metadata.namespace || "default";
    const fieldSelector = `involvedObject.uid=${uid}`;
    const found = await this.#list(events, { namespace, fieldSelector });
    const time = (event: KubeEvent): string =>
      event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp ?? "";
    return found.sort((a, b) => (time(a) < time(b) ? -1 : 1)).slice(-50);
  }
}

function isSelected(owner: KubeObject, { metadata }: KubeObject): boolean {
  const wanted = valueAt(owner, "spec", "selector", "matchLabels");
  if (typeof wanted !== "object" || wanted === null) return false;
  const entries = Object.entries(wanted);
  return entries.length > 0 && entries.every(([key, value]) => metadata.labels?.[key] === value);
}
