// The catalog names what the sources count, with their types, and what a running process shows; Prometheus accepts the names.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { configMaps } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { metricCatalog } from "../../src/metrics/metric-catalog.ts";
import { source } from "../../src/runtime/controller.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { configMap, testApi } from "../runtime/api.ts";

const root = join(import.meta.dirname, "../../src");

describe("the catalog", () => {
  it("names every metric that a source asks for", () => {
    const asked = globSync("**/*.ts", { cwd: root }).flatMap((file) =>
      [
        ...readFileSync(join(root, file), "utf8").matchAll(
          /\.(counter|gauge|gaugeFrom|histogram)\(\s*"((?:velero|podVolume|dm)_\w+)"/g,
        ),
      ].map(([, type = "", name = ""]) => ({ file, name, type: type.replace("From", "") })),
    );
    expect(asked.length).toBeGreaterThan(10);
    for (const { file, name, type } of asked)
      expect({ file, name, type: metricCatalog[name]?.type }).toEqual({ file, name, type });
  });

  it.each(Object.entries(metricCatalog))("%s is well-formed", (name, { help, labels, type }) => {
    expect(name).toMatch(/^(velero|podVolume|dm)_[a-z_]+$/);
    expect(help).toMatch(/^[A-Z1]/);
    expect(labels.every((label) => /^[a-zA-Z_]+$/.test(label))).toBe(true);
    if (name.endsWith("_total") && !/^velero_(backup|restore|backup_items)_total$/.test(name))
      expect(type).toBe("counter");
  });
});

it("a process shows what the catalog says of it", async () => {
  const api = await testApi();
  const manager = createManager({ client: api.client, clock: api.clock });
  const maps = manager.cache(configMaps, { namespace: "default" });
  let isDone = false;
  manager.add({
    name: "maps",
    sources: [source(maps)],
    reconcile: async () => {
      isDone = true;
    },
  });
  api.cluster.create("configmaps", configMap("a", "1"));
  api.background((signal) => manager.run(signal));
  await api.until(() => isDone && manager.metrics.text().includes("dm_reconcile_total"));
  const shown = [...manager.metrics.text().matchAll(/^# TYPE (\w+) (\w+)$/gm)];
  expect(shown.length).toBeGreaterThan(5);
  for (const [, name = "", type] of shown)
    expect([name, metricCatalog[name]?.type]).toEqual([name, type]);
  const series = [...manager.metrics.text().matchAll(/^(\w+?)(?:_bucket|_sum|_count)?\{(.*)\} /gm)];
  for (const [, name = "", text = ""] of series) {
    const labels = [...text.matchAll(/(\w+)="/g)]
      .map(([, label]) => label)
      .filter((one) => one !== "le");
    expect([name, labels.sort()]).toEqual([name, [...(metricCatalog[name]?.labels ?? [])].sort()]);
  }
});
