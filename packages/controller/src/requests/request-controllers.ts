/**
 * The controllers of what Velero's clients ask the server, on a manager, with their caches.
 * Proof: test/requests/request-controllers.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import { downloadRequests, serverStatusRequests } from "@dm/crds";
import { bucketUrls, type SignUrl } from "../bucket/sign-url.ts";
import { type EventRecorder, type KubeClient, type Manager, source } from "../runtime/index.ts";
import { reconcileDownloadRequest } from "./reconcile-download-request.ts";
import { reconcileServerStatusRequest } from "./reconcile-server-status-request.ts";
import { builtInPlugins, type Plugin, type RequestDeps } from "./request-deps.ts";

export interface RequestControllersOptions {
  readonly client: KubeClient;
  /** The operator's. */
  readonly namespace: string;
  /** As `velero version` shows it. */
  readonly serverVersion: string;
  readonly plugins?: readonly Plugin[] | undefined;
  /** By default for the buckets that the cluster's BackupStorageLocations name. */
  readonly signUrl?: SignUrl | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly events?: Pick<EventRecorder, "record"> | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

const concurrency = 4;

/**
 * Call before the manager runs.
 * @example addRequestControllers(manager, { client, namespace: "velero", serverVersion: "v1.0.0" });
 */
export function addRequestControllers(manager: Manager, options: RequestControllersOptions): void {
  const { client, clock = systemClock, environment, events, namespace } = options;
  const { logger = silentLogger, plugins = builtInPlugins, serverVersion } = options;
  const signUrl = options.signUrl ?? bucketUrls(client, { clock, environment, logger });
  const deps: RequestDeps = { client, clock, events, logger, plugins, serverVersion, signUrl };
  manager.add({
    name: "DownloadRequest",
    concurrency,
    sources: [source(manager.cache(downloadRequests, { namespace }))],
    reconcile: (key, signal) => reconcileDownloadRequest(deps, key, { signal }),
  });
  manager.add({
    name: "ServerStatusRequest",
    concurrency,
    sources: [source(manager.cache(serverStatusRequests, { namespace }))],
    reconcile: (key, signal) => reconcileServerStatusRequest(deps, key, { signal }),
  });
}
