/**
 * What the node agent counts, by the names that Velero's dashboards know.
 * Proof: test/node-agent/lifecycle.test.ts.
 * @module
 */

/** A registry of metrics takes these; names come without their prefix `podVolume_`, ours with `dm_`. */
export interface AgentMetrics {
  count(name: AgentCounter, labels: Readonly<Record<string, string>>): void;
  observe(
    name: "dm_expose_seconds",
    seconds: number,
    labels: Readonly<Record<string, string>>,
  ): void;
}

type Counted = "data_upload" | "data_download" | "pod_volume_backup" | "pod_volume_restore";

export type AgentCounter =
  | `${Counted}_${"success" | "failure" | "cancel"}_total`
  | "dm_conflicts_total"
  | "dm_mover_restarts_total";

export const noMetrics: AgentMetrics = { count() {}, observe() {} };
