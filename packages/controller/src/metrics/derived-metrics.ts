/**
 * Metrics as changes, which pure functions make of objects, and a registry that takes them. A name has its labels by type, so that
 * a misspelt one does not compile.
 * Proof: test/metrics/derived-metrics.test.ts.
 * @module
 */
import type { Metrics } from "../runtime/metrics.ts";
import {
  type CounterName,
  derivedMetrics,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  type MetricDescription,
  type MetricName,
} from "./metric-catalog.ts";

interface Change {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
}

export type MetricChange =
  | (Change & { readonly do: "count"; readonly by: number })
  | (Change & { readonly do: "set"; readonly value: number })
  | (Change & { readonly do: "observe"; readonly value: number })
  /** Its object is gone: the series ends. */
  | (Change & { readonly do: "forget" });

/** @example count("velero_backup_attempt_total", { schedule: "daily" }) */
export function count<Name extends CounterName>(
  name: Name,
  labels: LabelsOf<Name>,
  by = 1,
): MetricChange {
  return { do: "count", name, labels, by };
}

export function set<Name extends GaugeName>(
  name: Name,
  labels: LabelsOf<Name>,
  value: number,
): MetricChange {
  return { do: "set", name, labels, value };
}

export function observe<Name extends HistogramName>(
  name: Name,
  labels: LabelsOf<Name>,
  value: number,
): MetricChange {
  return { do: "observe", name, labels, value };
}

export function forget<Name extends MetricName>(name: Name, labels: LabelsOf<Name>): MetricChange {
  return { do: "forget", name, labels };
}

export interface DerivedMetrics {
  apply(changes: readonly MetricChange[]): void;
}

/** Others may count into the same registry. */
export function derivedMetricsIn(metrics: Metrics): DerivedMetrics {
  return {
    apply(changes) {
      for (const change of changes) {
        const { labels, name } = change;
        const description: MetricDescription = derivedMetrics[name];
        const { help, type } = description;
        const family =
          type === "counter"
            ? metrics.counter(name, help)
            : type === "gauge"
              ? metrics.gauge(name, help)
              : metrics.histogram(name, help, description.buckets);
        if (change.do === "forget") family.remove(labels);
        else if (change.do === "count" && "increase" in family) family.increase(labels, change.by);
        else if (change.do === "set" && "set" in family) family.set(change.value, labels);
        else if (change.do === "observe" && "observe" in family)
          family.observe(change.value, labels);
      }
    },
  };
}

/** Milliseconds since 1970; undefined for what is no time. */
export function timeOf(text: string | null | undefined): number | undefined {
  const time = Date.parse(text ?? "");
  return Number.isNaN(time) ? undefined : time;
}

/** Seconds between two times of a status, as far as both are there. */
export function secondsBetween(
  from: string | null | undefined,
  until: string | null | undefined,
): number | undefined {
  const [start, end] = [timeOf(from), timeOf(until)];
  return start === undefined || end === undefined ? undefined : Math.max(0, end - start) / 1_000;
}
