/**
 * What the BackupRepository controller needs and how it is set.
 * Proof: test/repository/reconcile-backup-repository.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import type { OpenVeleroOptions, openVeleroStore } from "@dm/snapshot/velero";
import type { EventRecorder } from "../runtime/event-recorder.ts";
import type { KubeClient } from "../runtime/kube-client.ts";

export interface RepositoryDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `KOPIA_HASHING_ALGORITHM` and its like, for new repositories; and what back-ends read of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** None are recorded without it. */
  readonly events?: Pick<EventRecorder, "record"> | undefined;
  /** ConfigMap whose key `kopia` has JSON with `cacheLimitMB` and `fullMaintenanceInterval`, read when a repository is made. */
  readonly configMap?: string | undefined;
  /** For repositories that name none, as Go writes durations; `1h0m0s` by default. */
  readonly maintenanceFrequency?: string | undefined;
  /** The Deployment after which maintenance Jobs are made; without it there are none. */
  readonly serverDeployment?: string | undefined;
  /** 3 by default. */
  readonly keepLatestMaintenanceJobs?: number | undefined;
  /** A maintenance that takes longer is killed; 4 hours by default. */
  readonly maintenanceTimeoutMs?: number | undefined;
  /** ConfigMap with settings of maintenance Jobs, read when one is made. */
  readonly maintenanceConfigMap?: string | undefined;
  /** What is NotReady is tried again after this time, and what is Ready looked at as often; 5 minutes by default. */
  readonly retryMs?: number | undefined;
  /** The password of a Secret that is made here: Velero's (default), which everybody knows, or a random one. */
  readonly missingPassword?: "random" | "velero" | undefined;
  /** Of the password; the real one costs a quarter of a second. */
  readonly deriveKey?: OpenVeleroOptions["deriveKey"];
  /** In the place of the real one: tests hold back, break and count. */
  readonly openStore?: typeof openVeleroStore | undefined;
}

export const repositoryDefaults = {
  maintenanceFrequency: "1h0m0s",
  keepLatestMaintenanceJobs: 3,
  maintenanceTimeoutMs: 4 * 3_600_000,
  retryMs: 5 * 60_000,
} as const;
