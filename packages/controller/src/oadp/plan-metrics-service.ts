/**
 * The Service by which Prometheus finds the server of an application. Pure.
 * Proof: test/oadp/plan-pods.test.ts.
 * @module
 */
import type { DataProtectionApplication, KubeObject, Resource } from "@dm/crds";
import { serverLabels } from "./application.ts";
import { metricsPort, serverPort } from "./plan-pods.ts";

export interface Service extends KubeObject {
  spec: {
    type?: string;
    selector?: Record<string, string>;
    ports?: { name?: string; port: number; targetPort?: number | string; protocol?: string }[];
  };
}

export const services: Resource<Service> = {
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  namespaced: true,
};

export const metricsServiceName = "openshift-adp-velero-metrics-svc";

export function planMetricsService(application: DataProtectionApplication): Service {
  const own = serverLabels(application);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: metricsServiceName,
      namespace: application.metadata.namespace ?? "",
      labels: own,
    },
    spec: {
      type: "ClusterIP",
      selector: own,
      ports: [
        {
          name: "monitoring",
          port: metricsPort,
          targetPort: serverPort(application),
          protocol: "TCP",
        },
      ],
    },
  };
}
