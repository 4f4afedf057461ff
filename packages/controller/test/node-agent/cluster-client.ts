/** The API server in this process, with every call counted, and with somebody asked before and after each, who may throw or wait. */
import type { ClusterApi } from "@dm/testbed";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { clusterClient as plainClient, resourceName } from "../expose/cluster-client.ts";

export interface CountedClient extends KubeClient {
  readonly calls: number;
  readonly writes: number;
}

/**
 * `before` is told `get pods/name`, and the call has not happened if it throws; if `after` throws, it has, and its answer is lost.
 */
export function clusterClient(
  api: ClusterApi,
  before: (what: string) => void | Promise<void> = () => {},
  after: (what: string) => void = () => {},
): CountedClient {
  const client = plainClient(api);
  let calls = 0;
  let writes = 0;
  const counted = async <R>(what: string, call: () => Promise<R>): Promise<R> => {
    calls++;
    if (!what.startsWith("get ") && !what.startsWith("list ")) writes++;
    await before(what);
    const result = await call();
    after(what);
    return result;
  };
  return {
    get calls() {
      return calls;
    },
    get writes() {
      return writes;
    },
    get: (resource, key, options) =>
      counted(`get ${resourceName(resource)}/${key.name}`, () =>
        client.get(resource, key, options),
      ),
    list: (resource, options) =>
      counted(`list ${resourceName(resource)}`, () => client.list(resource, options)),
    create: (resource, object, options) =>
      counted(`create ${resourceName(resource)}/${object.metadata.name}`, () =>
        client.create(resource, object, options),
      ),
    replace: (resource, object, options) =>
      counted(`replace ${resourceName(resource)}/${object.metadata.name}`, () =>
        client.replace(resource, object, options),
      ),
    patch: (resource, key, patch, options) =>
      counted(`patch ${resourceName(resource)}/${key.name}`, () =>
        client.patch(resource, key, patch, options),
      ),
    delete: (resource, key, options) =>
      counted(`delete ${resourceName(resource)}/${key.name}`, () =>
        client.delete(resource, key, options),
      ),
    watch: (resource, options) => client.watch(resource, options),
  };
}
