// Changes reach the registry under their names, with their help and buckets, beside what others count there.
import { expect, it } from "vitest";
import {
  count,
  derivedMetricsIn,
  forget,
  observe,
  secondsBetween,
  set,
} from "../../src/metrics/derived-metrics.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";

it("counts, sets, observes and forgets", () => {
  const metrics = createMetrics();
  const schedule = "s";
  derivedMetricsIn(metrics).apply([
    count("velero_backup_attempt_total", { schedule }),
    count("velero_backup_attempt_total", { schedule }, 2),
    set("velero_backup_last_status", { schedule }, 1),
    observe("velero_backup_duration_seconds", { schedule }, 61),
  ]);
  expect(metrics.text()).toContain('velero_backup_attempt_total{schedule="s"} 3\n');
  expect(metrics.text()).toContain('velero_backup_last_status{schedule="s"} 1\n');
  expect(metrics.text()).toContain(
    'velero_backup_duration_seconds_bucket{schedule="s",le="60"} 0\n',
  );
  expect(metrics.text()).toContain(
    'velero_backup_duration_seconds_bucket{schedule="s",le="300"} 1\n',
  );
  derivedMetricsIn(metrics).apply([
    forget("velero_backup_attempt_total", { schedule }),
    forget("velero_backup_last_status", { schedule }),
    forget("velero_backup_duration_seconds", { schedule }),
  ]);
  expect(metrics.text()).not.toContain('"s"');
});

it("takes names and labels of the catalog only", () => {
  // @ts-expect-error no such metric
  expect(() => derivedMetricsIn(createMetrics()).apply([count("velero_typo", {})])).toThrow();
  // @ts-expect-error the label is called schedule
  expect(count("velero_backup_attempt_total", { scheduled: "s" }).do).toBe("count");
  // @ts-expect-error a gauge does not count
  expect(count("velero_backup_last_status", { schedule: "s" }).do).toBe("count");
});

it("knows the time between two times, as far as there are two", () => {
  expect(secondsBetween("2026-11-25T10:00:00Z", "2026-11-25T10:00:01.5Z")).toBe(1.5);
  expect(secondsBetween("2026-11-25T10:00:01Z", "2026-11-25T10:00:00Z")).toBe(0);
  expect(secondsBetween(null, "2026-11-25T10:00:00Z")).toBeUndefined();
});
