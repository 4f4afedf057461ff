/**
 * Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4). Names and labels are the user's.
 * Proof: test/runtime/metrics.test.ts.
 * @module
 */

/** Values by label name. Keep the number of different values small: each combination is a line for ever. */
export type MetricLabels = Readonly<Record<string, string>>;

export interface Counter {
  /** By 1, or by a positive number. */
  increase(labels?: MetricLabels, by?: number): void;
  /** Forgets one combination: what it was about is gone. */
  remove(labels?: MetricLabels): void;
}

export interface Gauge {
  set(value: number, labels?: MetricLabels): void;
  /** Forgets one combination. */
  remove(labels?: MetricLabels): void;
}

export interface Histogram {
  observe(value: number, labels?: MetricLabels): void;
  /** Forgets one combination. */
  remove(labels?: MetricLabels): void;
}

export interface Metrics {
  /** Asking for a name again gives the same one. Names of counters end in `_total`. */
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** A gauge that is read when the text is made. */
  gaugeFrom(name: string, help: string, read: () => number, labels?: MetricLabels): void;
  /** Upper bounds in ascending order; `+Inf` is added. */
  histogram(name: string, help: string, buckets?: readonly number[]): Histogram;
  /** All metrics, sorted by name. */
  text(): string;
}

/** Seconds, from one call to a long reconcile. */
export const defaultBuckets: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** More combinations of labels than this in one metric are counted together without labels' values. */
export const maxSeriesPerMetric = 2_000;

/** @example createMetrics().counter("dm_conflicts_total", "Writes that met a newer version").increase({ kind: "Pod" }); */
export function createMetrics(): Metrics {
  const families = new Map<string, Family>();

  const family = (name: string, help: string, type: Family["type"]): Family => {
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name)) throw new RangeError(`"${name}" names no metric`);
    const known = families.get(name);
    if (known && known.type !== type) throw new TypeError(`"${name}" is a ${known.type} already`);
    const made = known ?? { name, help, type, series: new Map(), readers: new Map() };
    families.set(name, made);
    return made;
  };

  return {
    counter(name, help) {
      const counter = family(name, help, "counter");
      return {
        increase(labels = {}, by = 1) {
          if (!(by >= 0)) throw new RangeError(`a counter grows, not by ${by}`);
          const key = seriesKey(counter, labels);
          const value = counter.series.get(key);
          counter.series.set(key, (typeof value === "number" ? value : 0) + by);
        },
        remove: (labels = {}) => {
          counter.series.delete(labelText(labels));
        },
      };
    },
    gauge(name, help) {
      const gauge = family(name, help, "gauge");
      return {
        set: (value, labels = {}) => {
          gauge.series.set(seriesKey(gauge, labels), value);
        },
        remove: (labels = {}) => {
          gauge.series.delete(labelText(labels));
        },
      };
    },
    gaugeFrom(name, help, read, labels = {}) {
      family(name, help, "gauge").readers.set(labelText(labels), read);
    },
    histogram(name, help, buckets = defaultBuckets) {
      const histogram = family(name, help, "histogram");
      return {
        observe(value, labels = {}) {
          const key = seriesKey(histogram, labels);
          const known = histogram.series.get(key);
          const record =
            typeof known === "object"
              ? known
              : { bounds: buckets, counts: buckets.map(() => 0), count: 0, sum: 0 };
          histogram.series.set(key, record);
          const at = record.bounds.findIndex((bound) => value <= bound);
          if (at >= 0) record.counts[at]! += 1;
          record.count += 1;
          record.sum += value;
        },
        remove: (labels = {}) => {
          histogram.series.delete(labelText(labels));
        },
      };
    },
    text() {
      const lines: string[] = [];
      for (const name of [...families.keys()].sort())
        lines.push(...familyLines(families.get(name)!));
      return `${lines.join("\n")}\n`;
    },
  };
}

interface Distribution {
  readonly bounds: readonly number[];
  /** Not cumulative. */
  readonly counts: number[];
  count: number;
  sum: number;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** By the text of their labels. */
  readonly series: Map<string, number | Distribution>;
  readonly readers: Map<string, () => number>;
}

function seriesKey({ series }: Family, labels: MetricLabels): string {
  const key = labelText(labels);
  if (series.has(key) || series.size < maxSeriesPerMetric) return key;
  return labelText(Object.fromEntries(Object.keys(labels).map((name) => [name, "_other"])));
}

/** `a="b",c="d"`, sorted by name. */
function labelText(labels: MetricLabels): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(",");
}

const escapeLabel = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');

function* familyLines({ name, help, type, series, readers }: Family): IterableIterator<string> {
  yield `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`;
  yield `# TYPE ${name} ${type}`;
  const read = [...readers].map(([labels, value]) => [labels, value()] as const);
  const all: readonly (readonly [string, number | Distribution])[] = [...series, ...read];
  for (const [labels, value] of [...all].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (typeof value === "number") {
      yield `${name}${labels === "" ? "" : `{${labels}}`} ${numberText(value)}`;
      continue;
    }
    const before = labels === "" ? "" : `${labels},`;
    let sofar = 0;
    for (const [at, bound] of value.bounds.entries()) {
      sofar += value.counts[at] ?? 0;
      yield `${name}_bucket{${before}le="${numberText(bound)}"} ${sofar}`;
    }
    yield `${name}_bucket{${before}le="+Inf"} ${value.count}`;
    const own = labels === "" ? "" : `{${labels}}`;
    yield `${name}_sum${own} ${numberText(value.sum)}`;
    yield `${name}_count${own} ${value.count}`;
  }
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
