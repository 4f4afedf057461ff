/**
 * What the controllers of requests are made of.
 * Proof: test/requests/download-request.test.ts, test/requests/server-status-request.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import type { SignUrl } from "../bucket/sign-url.ts";
import type { EventRecorder } from "../runtime/event-recorder.ts";
import type { KubeClient } from "../runtime/kube-client.ts";

/** As Velero's clients show them. */
export interface Plugin {
  readonly name: string;
  /** `ObjectStore`, `BackupItemActionV2`, … */
  readonly kind: string;
}

export interface RequestDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signUrl: SignUrl;
  readonly serverVersion: string;
  readonly plugins: readonly Plugin[];
  /** None are recorded without it. */
  readonly events?: Pick<EventRecorder, "record"> | undefined;
}

/** What is built in, by the names that clients know from Velero. */
export const builtInPlugins: readonly Plugin[] = Object.freeze([
  { name: "velero.io/aws", kind: "ObjectStore" },
  { name: "velero.io/azure", kind: "ObjectStore" },
  { name: "velero.io/fs", kind: "ObjectStore" },
  { name: "velero.io/gcp", kind: "ObjectStore" },
  { name: "velero.io/csi-pvc-backupper", kind: "BackupItemActionV2" },
  { name: "velero.io/csi-pvc-restorer", kind: "RestoreItemActionV2" },
]);
