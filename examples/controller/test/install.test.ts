import { nodeKubeClient } from "@dm/controller/runtime";
import { configMaps, crdManifests, dataUploads } from "@dm/crds";
import { createApiServer } from "@dm/testbed";
import { expect, it } from "vitest";
import { applyObjects, resourceOf } from "../src/demo/install.ts";

it.each([
  ["v1", "Pod", "pods", "", true],
  ["v1", "Namespace", "namespaces", "", false],
  ["storage.k8s.io/v1", "StorageClass", "storageclasses", "storage.k8s.io", false],
  ["velero.io/v1", "BackupRepository", "backuprepositories", "velero.io", true],
  [
    "security.openshift.io/v1",
    "SecurityContextConstraints",
    "securitycontextconstraints",
    "security.openshift.io",
    false,
  ],
])("%s %s is served as %s", (apiVersion, kind, plural, group, namespaced) => {
  expect(resourceOf({ apiVersion, kind, metadata: {} })).toMatchObject({
    plural,
    group,
    namespaced,
  });
});

it("makes what is missing, changes what is there, and waits until new kinds are served", async () => {
  const server = await createApiServer();
  const { adminToken: token, url } = server;
  const { certificateAuthority } = server.cluster;
  const client = nodeKubeClient({ server: { url, certificateAuthority, token } });
  try {
    const map = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "a", namespace: "default" },
      data: { text: "first" },
    };
    const waiting = { signal: AbortSignal.timeout(20_000) };
    const crds = crdManifests({ kinds: ["DataUpload"] });
    await applyObjects(client, [map, ...crds], waiting);
    expect((await client.list(dataUploads)).items).toEqual([]);
    await applyObjects(client, [{ ...map, data: { text: "second" } } as never], waiting);
    const key = { namespace: "default", name: "a" };
    expect((await client.get(configMaps, key))?.data).toEqual({ text: "second" });
  } finally {
    client.close();
    await server.close();
  }
});
