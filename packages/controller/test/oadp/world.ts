// The controller of applications on the embedded API server, with the clock and the events in the test's hand.
import { type ManualClock, manualClock, nsPerMs, silentLogger } from "@dm/core";
import { crdManifests, type DataProtectionApplication, type KubeObject } from "@dm/crds";
import {
  type ApiServer,
  type ClusterApi,
  createApiServer,
  type NewObject,
  type StoredObject,
} from "@dm/testbed";
import { applicationDefaults } from "../../src/oadp/application.ts";
import {
  type ApplicationDeps,
  reconcileApplication,
} from "../../src/oadp/reconcile-application.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { clusterClient } from "../expose/cluster-client.ts";
import { application, cloudCredentials, namespace } from "./samples.ts";

export const startMs = Date.parse("2026-11-25T12:00:00Z");
export const kinds = {
  applications: "dataprotectionapplications.oadp.openshift.io",
  locations: "backupstoragelocations.velero.io",
  snapshotLocations: "volumesnapshotlocations.velero.io",
  deployments: "deployments.apps",
  daemonSets: "daemonsets.apps",
  configMaps: "configmaps",
  secrets: "secrets",
  services: "services",
} as const;
export type Kind = keyof typeof kinds;

export interface ToldEvent {
  readonly object: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

export class ApplicationWorld {
  readonly clock: ManualClock = manualClock(BigInt(startMs) * nsPerMs);
  readonly events: ToldEvent[] = [];
  readonly regions = new Map<string, string>();
  /** Every write, as `replace deployments`. */
  readonly writes: string[] = [];
  /** Called before and after each write; what it throws is the answer. */
  hook: (when: "before" | "after", what: string) => void = () => undefined;
  server!: ApiServer;
  deps!: ApplicationDeps;

  static async open(): Promise<ApplicationWorld> {
    const world = new ApplicationWorld();
    world.server = await createApiServer({ clock: world.clock, tls: false });
    for (const crd of crdManifests())
      world.api.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
    world.create("namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace },
    });
    world.deps = {
      client: world.#client(),
      clock: world.clock,
      logger: silentLogger,
      settings: applicationDefaults,
      findBucketRegion: async (bucket) => world.regions.get(bucket),
      told: new Map(),
      retryMs: 30_000,
      events: {
        record: (resource, { metadata }, { message, reason, type = "Normal" }) => {
          const object = `${resource.plural}/${metadata.name}`;
          world.events.push({ object, type, reason, message });
        },
      },
    };
    return world;
  }

  get api(): ClusterApi {
    return this.server.cluster;
  }

  create(resource: string, object: object): StoredObject {
    const copy = structuredClone(object) as NewObject;
    const { uid: _, ...metadata } = copy.metadata as Record<string, unknown>;
    return this.api.create(resource, { ...copy, metadata } as NewObject);
  }

  /** With its Secret. */
  install(
    given: DataProtectionApplication = application(),
    secrets: object[] = [cloudCredentials],
  ) {
    for (const one of secrets) this.create(kinds.secrets, one);
    this.create(kinds.applications, given);
  }

  change(name: string, change: (object: StoredObject) => void): void {
    this.api.modify(kinds.applications, namespace, name, change);
  }

  async reconcile(name = "dpa"): Promise<{ readonly requeueAfterMs?: number }> {
    return reconcileApplication(this.deps, { namespace, name });
  }

  find(kind: Kind, name: string): StoredObject | undefined {
    return this.api.get(kinds[kind], namespace, name);
  }

  get(kind: Kind, name: string): StoredObject {
    const found = this.find(kind, name);
    if (!found) throw new Error(`there is no ${kind} ${name}`);
    return found;
  }

  names(kind: Kind): string[] {
    return this.api
      .list(kinds[kind], namespace)
      .map(({ metadata }) => metadata.name)
      .sort();
  }

  condition(name = "dpa"): Record<string, string> {
    return this.get("applications", name).status?.conditions?.[0];
  }

  /** Arguments of the one container. */
  args(kind: "deployments" | "daemonSets", name: string): string[] {
    return this.get(kind, name).spec.template.spec.containers[0].args;
  }

  reasons(): string[] {
    return this.events.map(({ reason }) => reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
  }

  #client(): KubeClient {
    const target = clusterClient(this.api);
    const written = new Set(["create", "replace", "patch", "delete"]);
    return new Proxy(target, {
      get: (_target, method: keyof KubeClient) => {
        const call = target[method] as (...args: unknown[]) => Promise<unknown>;
        return async (resource: { plural: string }, about: KubeObject, ...rest: unknown[]) => {
          if (!written.has(method)) return call(resource, about, ...rest);
          const what = `${method} ${resource.plural}`;
          this.writes.push(what);
          this.hook("before", what);
          const answer = await call(resource, about, ...rest);
          this.hook("after", what);
          return answer;
        };
      },
    });
  }
}
