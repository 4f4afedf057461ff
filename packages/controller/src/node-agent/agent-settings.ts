/**
 * The bounds of the node agent's work, and its defaults.
 * Proof: test/node-agent/decide.test.ts.
 * @module
 */

export interface AgentSettings {
  /** From acceptance until the hosting pod runs. */
  readonly prepareTimeoutMs: number;
  /** Data paths that run on this node at once, of both kinds. */
  readonly concurrency: number;
  /** Accepted and not yet running at once, in the whole cluster; no limit when absent. */
  readonly prepareQueueLength?: number | undefined;
  /** Treat data movers "" and "velero" as ours too. */
  readonly takeOverVelero: boolean;
  /** Carry out PodVolumeBackups and PodVolumeRestores: only where no node agent of Velero's does. */
  readonly podVolumes: boolean;
  /** How often the hosting pod is made again after its mover was killed. */
  readonly moverRestartLimit: number;
  /** How long a mover may take to stop after a cancel; also when other agents step in before it runs. */
  readonly cancelTimeoutMs: number;
  /** When other agents step in after a cancel while the data path runs. */
  readonly runningCancelTimeoutMs: number;
  /** How long an agent or its node may be away before others take its work. */
  readonly ownerLostMs: number;
  /** Longest clean-up before the final phase is written all the same. */
  readonly cleanUpTimeoutMs: number;
  /** Between two looks at what an exposer waits for. */
  readonly exposePollMs: number;
  /** Between two looks at a full queue. */
  readonly queuePollMs: number;
  /** Between two looks at everything, without any event. */
  readonly peekMs: number;
}

export const agentDefaults: AgentSettings = {
  prepareTimeoutMs: 30 * 60_000,
  concurrency: 1,
  takeOverVelero: false,
  podVolumes: false,
  moverRestartLimit: 3,
  cancelTimeoutMs: 5 * 60_000,
  runningCancelTimeoutMs: 60 * 60_000,
  ownerLostMs: 5 * 60_000,
  cleanUpTimeoutMs: 5 * 60_000,
  exposePollMs: 2_000,
  queuePollMs: 5_000,
  peekMs: 60_000,
};
