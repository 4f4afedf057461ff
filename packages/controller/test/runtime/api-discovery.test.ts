/** What a cluster serves, from the embedded API server over HTTPS, and from servers that know only the older form. */
import { createApiServer } from "@dm/testbed";
import { expect, it } from "vitest";
import { type ApiResource, apiDiscovery } from "../../src/runtime/api-discovery.ts";
import { nodeKubeClient } from "../../src/runtime/node-client.ts";
import { json, refusal, scriptedServer } from "./scripted-server.ts";

const widgets = (names: object) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.shop.example" },
  spec: {
    group: "shop.example",
    scope: "Cluster",
    names: { plural: "widgets", kind: "Widget", ...names },
    versions: ["v1alpha1", "v1"].map((name) => ({
      name,
      served: true,
      storage: name === "v1",
      schema: { openAPIV3Schema: { type: "object" } },
    })),
  },
});
const find = (all: readonly ApiResource[], plural: string) =>
  all.filter((one) => one.plural === plural);

it("has every kind once, at its preferred version, without subresources", async () => {
  const server = await createApiServer();
  server.cluster.create(
    "customresourcedefinitions.apiextensions.k8s.io",
    widgets({ singular: "widget", shortNames: ["wd"] }) as never,
  );
  const { adminToken: token, cluster, url } = server;
  const { certificateAuthority } = cluster;
  const client = nodeKubeClient({ server: { url, token, certificateAuthority } });
  try {
    const discovery = apiDiscovery(client);
    const all = await discovery.resources();
    expect(url).toMatch(/^https:/);
    expect(find(all, "pods")).toEqual([
      {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        namespaced: true,
        singular: "pod",
        shortNames: ["po"],
        verbs: expect.arrayContaining(["list", "create"]),
      },
    ]);
    expect(find(all, "widgets")).toEqual([
      expect.objectContaining({
        group: "shop.example",
        version: "v1",
        kind: "Widget",
        namespaced: false,
        singular: "widget",
        shortNames: ["wd"],
      }),
    ]);
    expect(all.filter(({ plural }) => plural.includes("/"))).toEqual([]);
    expect(await discovery.serverVersion()).toMatchObject({
      gitVersion: expect.stringMatching(/^v1\./),
    });
  } finally {
    client.close();
    await server.close();
  }
});

it("asks older servers version by version, and does without a group whose own server is away", async () => {
  const pod = { name: "pods", singularName: "", namespaced: true, kind: "Pod", verbs: ["list"] };
  const widget = { name: "widgets", namespaced: false, kind: "Widget" };
  const groupOf = (name: string, versions: string[], preferred: string) => ({
    name,
    versions: versions.map((version) => ({ groupVersion: `${name}/${version}`, version })),
    preferredVersion: { groupVersion: `${name}/${preferred}`, version: preferred },
  });
  await using server = await scriptedServer(({ url }, response) => {
    const answers: Record<string, object> = {
      "/api": { kind: "APIVersions", versions: ["v1"] },
      "/api/v1": { resources: [pod, { ...pod, name: "pods/log" }] },
      "/apis": {
        kind: "APIGroupList",
        groups: [
          groupOf("shop.example", ["v1", "v2"], "v2"),
          groupOf("away.example", ["v1"], "v1"),
        ],
      },
      "/apis/shop.example/v2": { resources: [widget] },
      "/apis/shop.example/v1": { resources: [widget, { ...widget, name: "oldies" }] },
    };
    const answer = answers[url];
    if (answer) json(response, 200, answer);
    else refusal(response, 503, "ServiceUnavailable", "nobody is there");
  });
  const client = nodeKubeClient({ server: { url: server.url, token: "t" } });
  const names = (await apiDiscovery(client).resources()).map(
    ({ group, plural, version }) => `${plural}.${group}/${version}`,
  );
  expect(names).toEqual(["pods./v1", "widgets.shop.example/v2", "oldies.shop.example/v1"]);
  client.close();
});

it("is an error when the server itself is away", async () => {
  await using server = await scriptedServer((_request, response) => response.destroy());
  const client = nodeKubeClient({ server: { url: server.url, token: "t" } });
  await expect(apiDiscovery(client).resources()).rejects.toMatchObject({
    code: "DM_KUBE_UNAVAILABLE",
  });
  client.close();
});
