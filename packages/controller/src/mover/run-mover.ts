/**
 * A mover: one process for one volume, in the pod that has it mounted. It waits until the node agent starts it, moves the data,
 * tells how far it is, and ends with a message. A signal to terminate stops a backup at a checkpoint, from which the next
 * attempt goes on.
 * Proof: test/mover/run-mover.test.ts, test/mover/mover-kill.test.ts.
 * @module
 */
import { writeFile } from "node:fs/promises";
import { type Clock, isDmError, type Logger, silentLogger, systemClock } from "@dm/core";
import { isFinalPhase, phaseOf, type Resource } from "@dm/crds";
import { notes, resourceOf, type TransferObject } from "../node-agent/transfer.ts";
import type { KubeClient } from "../runtime/kube-client.ts";
import { type NodeKubeClient, nodeKubeClient } from "../runtime/node-client.ts";
import { causeOf } from "./cause.ts";
import type { DataPathContext } from "./data-path.ts";
import { DataPathEvents } from "./data-path-events.ts";
import { isBackup } from "./data-path-kind.ts";
import {
  canceledText,
  dataPathReasons,
  encodeBackupResult,
  encodeCanceled,
  encodeFailure,
  encodeInterrupted,
  encodeRestoreResult,
  type FailureText,
} from "./data-path-message.ts";
import { backupTask, restoreTask } from "./data-path-task.ts";
import { followObject } from "./follow-object.ts";
import type { MoverSettings } from "./mover-settings.ts";
import { podConnection } from "./pod-connection.ts";

export interface RunMoverOptions {
  /** By default over the pod's own connection, without `@kubernetes/client-node`. */
  readonly client?: KubeClient | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Aborts when the process is asked to end (SIGTERM). */
  readonly stopSignal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export interface MoverEnd {
  /** For the process: 0 done, 1 failed, canceled or interrupted. */
  readonly exitCode: number;
  /** As in the termination log. */
  readonly message: string;
}

/** How long the last Events may take. */
const eventsTimeoutMs = 60_000;

/**
 * Runs to the end; whatever goes wrong is told by the result, the termination log and Events, never thrown.
 * @example
 * const { exitCode } = await runMover(moverSettings(args, process.env), { stopSignal });
 */
export async function runMover(
  settings: MoverSettings,
  options: RunMoverOptions = {},
): Promise<MoverEnd> {
  const { clock = systemClock, environment = process.env, logger = silentLogger } = options;
  let own: NodeKubeClient | undefined;
  if (options.client === undefined) {
    const connection = podConnection({ environment, clock });
    own = nodeKubeClient({ connection, userAgent: "dm-mover", clock });
  }
  const client = options.client ?? (own as NodeKubeClient);
  const mover = new Mover(client, settings, { ...options, clock, environment, logger });
  try {
    return await mover.run(async () => (await own?.describe())?.namespace);
  } finally {
    own?.close();
  }
}

class Mover {
  readonly #client: KubeClient;
  readonly #settings: MoverSettings;
  readonly #options: RunMoverOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #resource: Resource<TransferObject>;
  /** Aborts when the object asks for cancellation, or is gone. */
  readonly #cancel = new AbortController();
  readonly #stopSignal: AbortSignal;
  #events: DataPathEvents | undefined;

  constructor(client: KubeClient, settings: MoverSettings, options: RunMoverOptions) {
    this.#client = client;
    this.#settings = settings;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#resource = resourceOf(settings.kind);
    this.#stopSignal = options.stopSignal ?? new AbortController().signal;
  }

  async run(ownNamespace: () => Promise<string | undefined>): Promise<MoverEnd> {
    let end: MoverEnd;
    try {
      const namespace = this.#settings.namespace ?? (await ownNamespace()) ?? "";
      end = await this.#follow(namespace);
    } catch (error) {
      end = this.#failed("create", error);
    }
    // Before the Events: whoever kills this process now finds its result.
    await writeFile(this.#settings.terminationLog, end.message).catch((error: unknown) => {
      this.#logger.error("Could not write the termination log", { error: String(error) });
    });
    this.#logger.info("Ended", { exitCode: end.exitCode, result: end.message });
    this.#tellEnd(end);
    await this.#events?.end(eventsTimeoutMs);
    return end;
  }

  /** Waits until the object is InProgress, moves the data, and listens for cancellation meanwhile. */
  async #follow(namespace: string): Promise<MoverEnd> {
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#stopSignal]);
    const key = { namespace, name: this.#settings.name };
    this.#logger.info("Waiting for its turn", { kind: this.#settings.kind, ...key });
    let moving: Promise<MoverEnd> | undefined;
    try {
      const changes = followObject(this.#client, this.#resource, key, {
        signal,
        clock: this.#clock,
      });
      for await (const object of changes) {
        if (object === undefined || isCanceled(object)) {
          this.#abort();
          if (moving === undefined) return this.#canceled();
        } else if (moving === undefined && isFinalPhase(phaseOf(object))) {
          return this.#canceled();
        } else if (moving === undefined && phaseOf(object) === "InProgress") {
          moving = this.#move(namespace, object);
          const settled = (): void => ended.abort();
          moving.then(settled, settled);
        }
      }
    } catch (error) {
      // Without the API nobody can cancel; the data goes on.
      if (moving === undefined) throw error;
      this.#logger.warn("Cannot follow the object any more", { error: String(error) });
    }
    return moving ?? this.#interrupted();
  }

  async #move(namespace: string, object: TransferObject): Promise<MoverEnd> {
    const { kind, node, progressIntervalMs } = this.#settings;
    const clock = this.#clock;
    const logger = this.#logger;
    const events = new DataPathEvents(this.#client, this.#resource, object, {
      node,
      progressIntervalMs,
      clock,
      logger,
    });
    this.#events = events;
    const context: DataPathContext = {
      client: this.#client,
      settings: this.#settings,
      namespace,
      environment: this.#options.environment ?? process.env,
      signal: this.#cancel.signal,
      stopSignal: this.#stopSignal,
      onProgress: (progress) => events.progress(progress),
      clock,
      logger,
    };
    let step: FailureText["step"] = "init";
    try {
      // Not before: many movers may wait for their turn on a node, and one that waits needs no data path.
      const { backUp, openDataPath, restore } = await import("./data-path.ts");
      const task = isBackup(kind) ? backupTask(kind, object) : restoreTask(kind, object);
      await using repository = await openDataPath(context, task);
      step = "run";
      logger.info("Started", { kind, namespace, name: object.metadata.name });
      events.tell(dataPathReasons.started, `Data path for ${object.metadata.name} started`);
      if ("volume" in task) {
        const result = await backUp(context, task, repository);
        return { exitCode: 0, message: encodeBackupResult(result) };
      }
      const isRetry = object.metadata.annotations?.[notes.resume] !== undefined;
      const result = await restore(context, task, repository, isRetry);
      return { exitCode: 0, message: encodeRestoreResult(result) };
    } catch (error) {
      if (this.#cancel.signal.aborted) return this.#canceled();
      if (this.#stopSignal.aborted) return this.#interrupted();
      return this.#failed(step, error);
    }
  }

  #abort(): void {
    if (this.#cancel.signal.aborted) return;
    this.#logger.info("Canceling", { name: this.#settings.name });
    this.#events?.tell(
      dataPathReasons.canceling,
      `Data path for ${this.#settings.name} is canceling`,
    );
    this.#cancel.abort(new Error(canceledText));
  }

  #tellEnd({ exitCode, message }: MoverEnd): void {
    const reason =
      exitCode === 0
        ? dataPathReasons.completed
        : this.#cancel.signal.aborted
          ? dataPathReasons.canceled
          : dataPathReasons.failed;
    this.#events?.tell(reason, message);
    this.#events?.tell(dataPathReasons.stopped, `Data path for ${this.#settings.name} stopped`);
  }

  #canceled(): MoverEnd {
    const { kind, name } = this.#settings;
    return { exitCode: 1, message: encodeCanceled(kind, name) };
  }

  #interrupted(): MoverEnd {
    const { kind, name } = this.#settings;
    return { exitCode: 1, message: encodeInterrupted(kind, name) };
  }

  #failed(step: FailureText["step"], error: unknown): MoverEnd {
    const { kind, name } = this.#settings;
    const savedSnapshotID = isDmError(error, "DM_VELERO_FILES_FAILED")
      ? String(error.details["snapshotId"])
      : undefined;
    const cause = causeOf(error);
    return { exitCode: 1, message: encodeFailure({ step, kind, name, cause, savedSnapshotID }) };
  }
}

function isCanceled(object: TransferObject): boolean {
  return object.spec.cancel === true || phaseOf(object) === "Canceling";
}
