/**
 * Which kinds a cluster serves: what backups list, and what restores may create.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import type { Resource } from "@dm/crds";
import type { KubeCallOptions } from "./kube-client.ts";

/** A kind at the version that the server prefers for its group. */
export interface ApiResource extends Resource {
  /** May be empty. */
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** `list`, `create`, … */
  readonly verbs: readonly string[];
}

export interface ServerVersion {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
}

export interface ApiDiscovery {
  /** Every kind once per group, without subresources, in the order of the server. */
  resources(options?: KubeCallOptions): Promise<readonly ApiResource[]>;
  serverVersion(options?: KubeCallOptions): Promise<ServerVersion>;
}
