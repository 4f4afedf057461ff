/**
 * How long a kubelet waits for what: the values of a real one.
 * Proof: test/kubelet/pod-lifecycle.test.ts.
 * @module
 */
export interface KubeletTimes {
  /** Least time between asking and killing, whatever the pod says. */
  readonly shortestGraceMs: number;
  /** First pause before a container is started a third time; doubles to `longestRestartMs`. */
  readonly restartMs: number;
  readonly longestRestartMs: number;
  /** A container that ran this long starts without pause again. */
  readonly restartResetMs: number;
  readonly pullRetryMs: number;
  readonly longestPullRetryMs: number;
  readonly mountRetryMs: number;
  readonly longestMountRetryMs: number;
  /** After a failure of the kubelet itself, or of a reference. */
  readonly retryMs: number;
  readonly heartbeatMs: number;
}

export const defaultKubeletTimes: KubeletTimes = {
  shortestGraceMs: 2_000,
  restartMs: 10_000,
  longestRestartMs: 300_000,
  restartResetMs: 600_000,
  pullRetryMs: 10_000,
  longestPullRetryMs: 300_000,
  mountRetryMs: 500,
  longestMountRetryMs: 122_000,
  retryMs: 10_000,
  heartbeatMs: 10_000,
};
