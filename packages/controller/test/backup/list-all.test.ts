/** Lists in pages: each object once, with its kind, also when the server forgets where it was. */
import { ConflictError } from "@dm/core";
import { type ConfigMap, configMaps, type KubeObject } from "@dm/crds";
import { expect, it } from "vitest";
import { listAll } from "../../src/backup/list-all.ts";
import type { ListOptions } from "../../src/runtime/kube-client.ts";

const names = ["a", "b", "c"];

function server(expirations: number) {
  const asked: (string | undefined)[] = [];
  let left = expirations;
  const client = {
    async list<T extends KubeObject>(_resource: unknown, options: ListOptions = {}) {
      asked.push(options.continue);
      const at = Number(options.continue || 0);
      if (at === 2 && left-- > 0) throw new ConflictError("DM_KUBE_EXPIRED", "too old");
      const items = [{ metadata: { name: names[at], namespace: "n" } } as ConfigMap];
      const more = at + 1 < names.length ? { continue: String(at + 1) } : {};
      return { items: items as unknown as T[], resourceVersion: "1", ...more };
    },
  };
  return { asked, client };
}
const all = async (expirations: number) =>
  (await listAll(server(expirations).client, configMaps)).map(({ metadata }) => metadata.name);

it("come page by page, each object with its kind", async () => {
  const { asked, client } = server(0);
  const found = await listAll(client, configMaps);
  expect(found[0]).toMatchObject({ apiVersion: "v1", kind: "ConfigMap" });
  expect(found).toHaveLength(3);
  expect(asked).toEqual([undefined, "1", "2"]);
});

it("begin again when they took too long, a few times", async () => {
  expect(await all(2)).toEqual(names);
  await expect(all(9)).rejects.toMatchObject({ code: "DM_KUBE_EXPIRED" });
});
