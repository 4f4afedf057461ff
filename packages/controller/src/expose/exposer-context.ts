/**
 * What all exposers of one node agent share.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/generic-restore-exposer.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import type { KubeClient } from "../runtime/kube-client.ts";
import type { ExposerSettings } from "./exposer-settings.ts";
import type { FindHostPath } from "./host-path.ts";
import type { HostingTemplate } from "./hosting-template.ts";

/** As Velero's server has it for its own waits. */
export const defaultResourceTimeout = "10m0s";
/** MiB, as Velero has it for the cache of a repository client. */
export const defaultCacheLimitMB = 5000;

export interface ExposerContext {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** The operator's: DataUploads and the like, and all that is made for them are there. */
  readonly namespace: string;
  /** Of the DaemonSet `node-agent`: see `hostingTemplateOf`. */
  readonly template: HostingTemplate;
  /** Of the DaemonSet `node-agent-windows`. Without it every volume counts as one of Linux. */
  readonly windowsTemplate?: HostingTemplate | undefined;
  readonly settings?: ExposerSettings | undefined;
  /** How long the mover waits for its repository, as Go writes durations; `10m0s` by default. */
  readonly resourceTimeout?: string | undefined;
  /** How long `cleanUp` waits for each object to vanish before it goes on, milliseconds; 1 minute by default. */
  readonly cleanUpTimeoutMs?: number | undefined;
  /** Where a pod's volume lies on this node; `hostPods()` by default. */
  readonly findHostPath?: FindHostPath | undefined;
  /** Most bytes of the mover's cache in MiB, which decide the size of a cache claim; 5000 by default. */
  readonly cacheLimitMB?: number | undefined;
  readonly logger?: Logger | undefined;
}
