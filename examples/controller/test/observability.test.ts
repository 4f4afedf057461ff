// The dashboard and the alerts ask for metrics that there are, by labels that these have; each says to people what it is about.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { metricCatalog } from "@dm/controller";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { manifestFolder } from "../src/manifests.ts";

const folder = join(manifestFolder, "observability");
const read = (name: string): string => readFileSync(join(folder, name), "utf8");

/** Labels that Prometheus adds to what it scrapes, and the bounds of histograms. */
const added = new Set(["namespace", "pod", "job", "instance", "le"]);

/** What is wrong with a query, as far as its names go. */
function problemsOf(query: string): string[] {
  const problems: string[] = [];
  const names = [...query.matchAll(/\b((?:velero|podVolume|dm)_\w+)(?:\{([^}]*)\})?/g)];
  if (names.length === 0) problems.push("it asks for no metric");
  const labels = new Set(added);
  for (const [, full = "", matchers = ""] of names) {
    const base = full.replace(/_(bucket|sum|count)$/, "");
    const isPart = base !== full && metricCatalog[base]?.type === "histogram";
    const metric = metricCatalog[isPart ? base : full];
    if (!metric) problems.push(`there is no ${full}`);
    if (metric?.type === "histogram" && !isPart) problems.push(`${full} is a histogram`);
    for (const label of metric?.labels ?? []) labels.add(label);
    for (const [, label = ""] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (!added.has(label) && !metric?.labels.includes(label))
        problems.push(`${full} has no label ${label}`);
    if (metric?.type === "counter" && !new RegExp(`(rate|increase)\\(${full}\\b`).test(query))
      problems.push(`${full} only grows`);
  }
  for (const [, list = ""] of query.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list.split(",").map((one) => one.trim()))
      if (!labels.has(label)) problems.push(`nothing has the label ${label}`);
  let depth = 0;
  for (const letter of query) depth += letter === "(" ? 1 : letter === ")" ? -1 : 0;
  if (depth !== 0) problems.push("a bracket is missing");
  return problems;
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly id: number;
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
const dashboard = JSON.parse(read("dashboard.json")) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
};
const panels = dashboard.panels.filter(({ type }) => type !== "row");

describe("the dashboard", () => {
  it.each(panels.map((panel) => [panel.title, panel] as const))("%s", (_, panel) => {
    expect(panel.description).toMatch(/\.$/);
    expect(panel.fieldConfig?.defaults.unit).toBeTruthy();
    expect(panel.targets?.length).toBeGreaterThan(0);
    for (const { expr, legendFormat } of panel.targets ?? []) {
      expect(problemsOf(expr)).toEqual([]);
      expect(expr).toContain('namespace="$namespace"');
      for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        expect(expr).toContain(`(${label})`);
    }
  });

  it("has each panel once, and the variables that it uses", () => {
    expect(panels.length).toBeGreaterThan(15);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(["datasource", "namespace"]);
  });
});

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}
const rules = parse(read("alerts.yaml")) as {
  readonly spec: { readonly groups: readonly { readonly rules: readonly Alert[] }[] };
};
const alerts = rules.spec.groups.flatMap((group) => group.rules);

describe("the alerts", () => {
  it.each(alerts.map((alert) => [alert.alert, alert] as const))("%s", (_, alert) => {
    expect(problemsOf(alert.expr)).toEqual([]);
    expect(alert.labels.severity).toMatch(/^(warning|critical)$/);
    expect(alert.annotations.description).toMatch(/\.$/);
    for (const [, label = ""] of alert.annotations.summary.matchAll(/\$labels\.(\w+)/g))
      expect(alert.expr).toMatch(new RegExp(`by \\([^)]*\\b${label}\\b[^)]*\\)`));
  });

  it("have a name each", () => {
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });
});

it.each([
  ["velero_typo_total > 0", "there is no velero_typo_total"],
  ["velero_backup_total", undefined],
  ["velero_backup_failure_total > 0", "velero_backup_failure_total only grows"],
  ["sum by (node) (rate(velero_backup_failure_total[1h]))", "nothing has the label node"],
  ['dm_queue_depth{schedule="x"}', "dm_queue_depth has no label schedule"],
  ["sum(rate(dm_expose_seconds[1h]))", "dm_expose_seconds is a histogram"],
  ["max(dm_queue_depth", "a bracket is missing"],
  ["up == 0", "it asks for no metric"],
])("a query is looked at: %s", (query, problem) => {
  expect(problemsOf(query)).toEqual(problem === undefined ? [] : [problem]);
});

it("Prometheus finds the port that the manifests name", () => {
  const monitor = parse(read("monitors.yaml")) as {
    readonly spec: {
      readonly podMetricsEndpoints: readonly { readonly port: string }[];
      readonly selector: { readonly matchExpressions: readonly { readonly values: string[] }[] };
    };
  };
  const [endpoint] = monitor.spec.podMetricsEndpoints;
  for (const part of ["server", "node-agent"]) {
    const text = readFileSync(join(manifestFolder, "parts", `${part}.yaml`), "utf8");
    expect(text).toContain(`name: ${endpoint?.port}, containerPort`);
    expect(monitor.spec.selector.matchExpressions[0]?.values).toContain(`dm-${part}`);
  }
});
