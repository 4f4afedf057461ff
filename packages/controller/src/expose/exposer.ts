/**
 * Exposing: making a volume reachable for the data path, as a pod that has it mounted. Every call does what can be done now and
 * returns; nothing waits, all is found again after a crash by the names, which are those of the DataUpload or DataDownload.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/generic-restore-exposer.test.ts.
 * @module
 */
import type { KubeCallOptions } from "../runtime/kube-client.ts";

/** What the last call came to. `reason` says what is waited for, in words fit for a status message. */
export type Step = { readonly done: true } | { readonly done: false; readonly reason: string };

/** A volume within reach of the data path. */
export interface ExposedVolume {
  readonly podName: string;
  readonly nodeName: string;
  readonly nodeOS: "linux" | "windows";
  /** Where the hosting pod has it: `/<uid of the object>`. */
  readonly path: string;
  readonly volumeMode: "Filesystem" | "Block";
}

/**
 * The caller bounds the time: `prepareTimeout` over all of `expose`, `operationTimeout` over single deletions, which `expose`
 * itself counts from the `deletionTimestamp` it finds. Errors are final for the DataUpload or DataDownload, unless retryable.
 */
export interface Exposer {
  /**
   * Makes what is missing. Called again until it is done, by whichever process: what exists already is taken over. Called after
   * that too while the pod has not started, since it also notices a volume that is too full to be mounted.
   */
  expose(options?: KubeCallOptions): Promise<Step>;
  /** Why the hosting pod can never start, if so: its image, or that it has ended already. */
  unrecoverable(options?: KubeCallOptions): Promise<string | undefined>;
  /** The volume once the pod runs and the claim is bound. `undefined` as well while there is no pod. */
  exposed(options?: KubeCallOptions): Promise<ExposedVolume | undefined>;
  /** Removes the hosting pod alone, so that `expose` makes a new one over the same volume: after a mover was killed. */
  removePod(options?: KubeCallOptions): Promise<Step>;
  /** Lines about every object concerned, for people. */
  diagnose(options?: KubeCallOptions): Promise<string>;
  /**
   * Removes every intermediate object; what is gone, or is not ours, is fine. Called again until it is done; whatever the end of
   * the object, and only once `rebind`, if begun, is done or has thrown.
   */
  cleanUp(options?: KubeCallOptions): Promise<Step>;
}

export interface RestoreExposer extends Exposer {
  /** After the data path: the restored volume becomes that of the target claim. Called again until it is done. */
  rebind(options?: KubeCallOptions): Promise<Step>;
}
