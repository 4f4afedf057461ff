/**
 * All built-in controllers of the embedded cluster, started together.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { startDaemonSetController } from "./daemon-set.ts";
import { startDeploymentController } from "./deployment.ts";
import { startEndpointsController } from "./endpoints.ts";
import { startGarbageCollector } from "./garbage-collector.ts";
import { startJobController } from "./job.ts";
import { startNamespaceController } from "./namespace-controller.ts";
import { startNodeLifecycle } from "./node-lifecycle.ts";
import { startPodGarbageCollector } from "./pod-garbage-collector.ts";
import { startReplicaSetController } from "./replica-set.ts";
import { startServiceAccountController } from "./service-account-controller.ts";
import { startStatefulSetController } from "./stateful-set.ts";

export interface ControllersOptions {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
  /** Without a heartbeat for so long a node is lost. Default: 40 s. */
  readonly nodeGraceMs?: number | undefined;
  /** Pods of a lost node are deleted after this at the latest. Default: what they tolerate, 5 minutes unless they say more. */
  readonly longestTolerationMs?: number | undefined;
}

export interface RunningControllers {
  close(): Promise<void>;
}

export function startControllers(options: ControllersOptions): RunningControllers {
  const { api, logger, nodeGraceMs, longestTolerationMs } = options;
  const basis = { api, logger };
  const controllers = [
    startServiceAccountController(basis),
    startNamespaceController(basis),
    startGarbageCollector(basis),
    startPodGarbageCollector(basis),
    startNodeLifecycle({ ...basis, graceMs: nodeGraceMs, longestTolerationMs }),
    startReplicaSetController(basis),
    startDeploymentController(basis),
    startDaemonSetController(basis),
    startStatefulSetController(basis),
    startJobController(basis),
    startEndpointsController(basis),
  ];
  return {
    async close() {
      await Promise.all(controllers.map((controller) => controller.close()));
    },
  };
}
