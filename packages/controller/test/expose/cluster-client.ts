// KubeClient over the API server in this process: the same objects, rules and refusals as over HTTP, at once.
import type { KubeObject, Resource } from "@dm/crds";
import { ApiError, type ClusterApi, type NewObject, type StoredObject } from "@dm/testbed";
import type { KubeClient, ObjectKey } from "../../src/runtime/kube-client.ts";
import { kubeError } from "../../src/runtime/kube-errors.ts";
import { applyMergePatch } from "../../src/runtime/merge-patch.ts";

/** As ClusterApi names it. */
export function resourceName({ plural, group }: Resource): string {
  return group === "" ? plural : `${plural}.${group}`;
}

export function clusterClient(api: ClusterApi): KubeClient {
  return {
    async get<T extends KubeObject>(resource: Resource<T>, { namespace = "", name }: ObjectKey) {
      return api.get(resourceName(resource), namespace, name) as T | undefined;
    },
    async list<T extends KubeObject>(resource: Resource<T>, options = {}) {
      const {
        namespace,
        labelSelector = "",
        fieldSelector = "",
      } = options as {
        namespace?: string;
        labelSelector?: string;
        fieldSelector?: string;
      };
      const items = api
        .list(resourceName(resource), namespace)
        .filter((object) => matches(object.metadata.labels ?? {}, labelSelector))
        .filter((object) => hasFields(object, fieldSelector));
      return { items: items as unknown as T[], resourceVersion: "" };
    },
    create<T extends KubeObject>(resource: Resource<T>, object: T) {
      return answer(`create ${resource.plural}`, () =>
        api.create(resourceName(resource), copy(object) as unknown as NewObject),
      ) as Promise<KubeObject> as Promise<T>;
    },
    replace<T extends KubeObject>(resource: Resource<T>, object: T, options = {}) {
      return answer(`replace ${resource.plural}`, () =>
        api.update(resourceName(resource), copy(object) as unknown as StoredObject, options),
      ) as Promise<KubeObject> as Promise<T>;
    },
    patch<T extends KubeObject>(
      resource: Resource<T>,
      { namespace = "", name }: ObjectKey,
      patch: object,
      options = {},
    ) {
      return answer(`patch ${resource.plural} ${name}`, () => {
        const stored = api.get(resourceName(resource), namespace, name);
        if (stored === undefined) throw new ApiError(404, "NotFound", `${name} not found`);
        const next = applyMergePatch(stored, copy(patch)) as StoredObject;
        return api.update(resourceName(resource), next, options);
      }) as Promise<KubeObject> as Promise<T>;
    },
    delete(resource, { namespace = "", name }, options = {}) {
      return answer(`delete ${resource.plural} ${name}`, () =>
        api.delete(resourceName(resource), namespace, name, options),
      );
    },
    watch() {
      throw new Error("exposers do not watch");
    },
  };
}

async function answer<T>(what: string, call: () => T): Promise<T> {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw kubeError({ what, status: error.toJSON(), httpStatus: error.status });
  }
}

/** Nothing of ours is shared with the server. */
function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

function matches(labels: Record<string, string>, selector: string): boolean {
  return pairs(selector).every(([key, value]) =>
    value === undefined ? labels[key] !== undefined : labels[key] === value,
  );
}

function hasFields(object: StoredObject, selector: string): boolean {
  return pairs(selector).every(([path, value]) => {
    const found = path
      .split(".")
      .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], object);
    return found === value;
  });
}

/** Without a value: the label is there. */
function pairs(selector: string): [string, string | undefined][] {
  return selector
    .split(",")
    .filter((term) => term !== "")
    .map((term) => {
      const at = term.indexOf("=");
      return at < 0 ? [term, undefined] : [term.slice(0, at), term.slice(at + 1)];
    });
}
