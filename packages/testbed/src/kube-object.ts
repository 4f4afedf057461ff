/**
 * Objects as the store keeps them: plain JSON.
 * Proof: test/cluster-api.test.ts.
 * @module
 */

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  generation?: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: {
    apiVersion: string;
    kind: string;
    name: string;
    uid: string;
    controller?: boolean;
    blockOwnerDeletion?: boolean;
  }[];
  [name: string]: unknown;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of any kind, read by those who know the kind
export type Json = any;

export interface StoredObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec?: Json;
  status?: Json;
  [name: string]: Json;
}

/** An object before it is stored: the server fills in the rest. */
export interface NewObject {
  apiVersion: string;
  kind: string;
  metadata: Partial<ObjectMeta>;
  spec?: Json;
  status?: Json;
  [name: string]: Json;
}
