/**
 * ClusterApi over the registry, for the parts of the cluster that live in this process.
 * Proof: test/cluster-api.test.ts.
 * @module
 */
import type { ClusterApi, ClusterEvent } from "../cluster-api.ts";
import { ApiError } from "./api-error.ts";
import { copyJson } from "./json.ts";
import { type StoreEvent, storeKey } from "./object-store.ts";
import type { Registry } from "./registry.ts";

export interface ClusterViewOptions {
  readonly registry: Registry;
  readonly url: string;
  readonly certificateAuthority?: string | undefined;
  tokenFor(namespace: string, serviceAccount: string): string;
}

export function createClusterView(options: ClusterViewOptions): ClusterApi {
  const { registry } = options;
  const { store } = registry;
  return {
    clock: registry.clock,
    url: options.url,
    certificateAuthority: options.certificateAuthority,
    tokenFor: options.tokenFor,
    get(resource, namespace, name) {
      registry.kind(resource);
      const object = store.get(resource, storeKey(namespace, name));
      return object === undefined ? undefined : copyJson(object);
    },
    list(resource, namespace) {
      registry.kind(resource);
      const prefix = namespace === undefined ? "" : storeKey(namespace, "");
      return store.list(resource, prefix).map(copyJson);
    },
    create(resource, object) {
      return copyJson(registry.create(registry.kind(resource), object));
    },
    update(resource, object, { subresource } = {}) {
      const { namespace = "", name } = object.metadata;
      return copyJson(
        registry.update(registry.kind(resource), namespace, name, () => object, { subresource }),
      );
    },
    modify(resource, namespace, name, change, { subresource } = {}) {
      const kind = registry.kind(resource);
      if (registry.get(kind, namespace, name) === undefined) return undefined;
      const written = registry.update(
        kind,
        namespace,
        name,
        (object) => {
          change(object);
          return object;
        },
        { subresource },
      );
      return copyJson(written);
    },
    delete(resource, namespace, name, deleteOptions = {}) {
      try {
        registry.delete(registry.kind(resource), namespace, name, deleteOptions);
        return true;
      } catch (error) {
        if (error instanceof ApiError && error.reason === "NotFound") return false;
        throw error;
      }
    },
    watch(resource, listener) {
      let active = true;
      // One microtask for each event: in order, and never inside the call that made the change.
      const tell = (event: ClusterEvent): void =>
        queueMicrotask(() => {
          if (active) listener({ type: event.type, object: copyJson(event.object) });
        });
      for (const object of store.list(resource)) tell({ type: "ADDED", object });
      const stop = store.listen(resource, ({ type, object }: StoreEvent) => tell({ type, object }));
      return () => {
        active = false;
        stop();
      };
    },
  };
}
