import { hostname } from "node:os";
import * as runtime from "@dm/controller/runtime";
import { type ConfigMap, configMaps } from "@dm/crds";

// Each ConfigMap with the label twin=wanted gets a second one, which follows its data and goes when it goes.
const client = runtime.nodeKubeClient(); // KUBECONFIG, ~/.kube/config or the pod's service account
const manager = runtime.createManager({
  client,
  logger: runtime.jsonLogger(),
  endpoints: { port: 8085 }, // /healthz, /readyz, /metrics
  leader: { namespace: "default", name: "twins", identity: `${hostname()}-${process.pid}` },
});
const maps = manager.cache(configMaps, { relistMs: 600_000 });
manager.add({
  name: "twins",
  // Look at a map when it changes, and at the owner of a twin when that changes.
  sources: [
    runtime.source(maps, (map) => [runtime.keyOf(map), ...runtime.ownerKeys(map, configMaps)]),
  ],
  reconcile: async (key, signal) => {
    const map = maps.get(key);
    if (map?.metadata.labels?.["twin"] !== "wanted") return;
    const { name, namespace = "" } = key;
    const twin = maps.get({ namespace, name: `${name}-twin` });
    if (!twin) {
      const ownerReferences = [runtime.ownerReferenceTo(configMaps, map)];
      const metadata = { namespace, name: `${name}-twin`, ownerReferences };
      const wanted: ConfigMap = { metadata, data: { ...map.data } };
      await client.create(configMaps, wanted, { signal });
    } else if (!runtime.sameJson(twin.data, map.data)) {
      await client.replace(configMaps, { ...twin, data: { ...map.data } }, { signal });
    }
  },
});
await manager.run(runtime.stopSignal()); // until SIGTERM
client.close();
