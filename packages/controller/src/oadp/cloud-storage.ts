/**
 * CloudStorage (oadp.openshift.io/v1alpha1): a bucket by name, as a location of an application may refer to. Only read; who makes
 * buckets is somebody else.
 * Proof: test/oadp/plan-locations.test.ts.
 * @module
 */
import type { KubeObject, Resource } from "@dm/crds";

export interface CloudStorage extends KubeObject {
  spec: {
    /** Of the bucket. */
    name: string;
    provider: string;
    region?: string;
    enableSharedConfig?: boolean;
  };
}

export const cloudStorages: Resource<CloudStorage> = {
  group: "oadp.openshift.io",
  version: "v1alpha1",
  kind: "CloudStorage",
  plural: "cloudstorages",
  namespaced: true,
};
