/** The text of every kind of metric, as Prometheus reads it, and the bound on their number. */
import { describe, expect, it } from "vitest";
import { createMetrics, maxSeriesPerMetric } from "../../src/runtime/metrics.ts";

describe("metrics", () => {
  it("are written in the exposition format", () => {
    const metrics = createMetrics();
    metrics.gaugeFrom("a_depth", "Read when asked", () => 7, { queue: "q" });
    metrics.gauge("b_gauge", "Set\nto values").set(1.5);
    const counter = metrics.counter("c_total", "Counted");
    counter.increase({ z: "1", a: 'quote " backslash \\ line\nbreak' });
    counter.increase({ z: "2", a: "x" }, 3);
    counter.increase({ a: "x", z: "2" });
    const histogram = metrics.histogram("d_seconds", "Observed", [0.5, 2]);
    for (const value of [0.1, 0.5, 1, 100]) histogram.observe(value, { node: "n" });
    expect(metrics.text()).toBe(
      [
        "# HELP a_depth Read when asked",
        "# TYPE a_depth gauge",
        'a_depth{queue="q"} 7',
        "# HELP b_gauge Set\\nto values",
        "# TYPE b_gauge gauge",
        "b_gauge 1.5",
        "# HELP c_total Counted",
        "# TYPE c_total counter",
        'c_total{a="quote \\" backslash \\\\ line\\nbreak",z="1"} 1',
        'c_total{a="x",z="2"} 4',
        "# HELP d_seconds Observed",
        "# TYPE d_seconds histogram",
        'd_seconds_bucket{node="n",le="0.5"} 2',
        'd_seconds_bucket{node="n",le="2"} 3',
        'd_seconds_bucket{node="n",le="+Inf"} 4',
        'd_seconds_sum{node="n"} 101.6',
        'd_seconds_count{node="n"} 4',
        "",
      ].join("\n"),
    );
  });

  it("of what is gone are forgotten", () => {
    const metrics = createMetrics();
    const families = [metrics.counter("a_total", "A"), metrics.histogram("b", "B", [1])] as const;
    for (const name of ["x", "y"]) {
      families[0].increase({ name });
      families[1].observe(1, { name });
    }
    for (const family of families) family.remove({ name: "x" });
    expect(metrics.text()).not.toContain('"x"');
    expect(metrics.text()).toContain('a_total{name="y"} 1');
  });

  it("of one name are one", () => {
    const metrics = createMetrics();
    metrics.counter("x_total", "X").increase();
    metrics.counter("x_total", "X").increase();
    expect(metrics.text()).toContain("x_total 2\n");
    expect(() => metrics.gauge("x_total", "X")).toThrow(TypeError);
    expect(() => metrics.gauge("not a name", "X")).toThrow(RangeError);
    expect(() => metrics.counter("x_total", "X").increase({}, -1)).toThrow(RangeError);
  });

  it("of too many labels are counted together", () => {
    const metrics = createMetrics();
    const counter = metrics.counter("x_total", "X");
    for (let id = 0; id < maxSeriesPerMetric + 10; id += 1) counter.increase({ id: String(id) });
    const lines = metrics
      .text()
      .split("\n")
      .filter((line) => line.startsWith("x_total"));
    expect(lines).toHaveLength(maxSeriesPerMetric + 1);
    expect(lines).toContain('x_total{id="_other"} 10');
  });

  it("can be forgotten", () => {
    const metrics = createMetrics();
    const gauge = metrics.gauge("x", "X");
    gauge.set(1, { node: "n" });
    gauge.remove({ node: "n" });
    expect(metrics.text()).not.toContain("node");
  });
});
