/**
 * A mover's Events on its object. Each step is an Event of its own; progress is one Event that changes, so that an hour of work
 * leaves one object behind. The object itself has one writer, the node agent, which copies progress as it likes: a mover that
 * wrote there would be in conflict with it.
 * Proof: test/mover/data-path-events.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, nsPerMs, silentLogger, systemClock } from "@dm/core";
import { events, type KubeEvent, type Resource } from "@dm/crds";
import type { TransferObject } from "../node-agent/transfer.ts";
import { createEventRecorder, type EventRecorder } from "../runtime/event-recorder.ts";
import type { KubeClient } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import {
  type DataPathProgress,
  type DataPathReason,
  dataPathReasons,
  encodeProgress,
} from "./data-path-message.ts";

export interface DataPathEventsOptions {
  readonly node: string;
  /** Time between two reports of progress. */
  readonly progressIntervalMs: number;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export class DataPathEvents {
  readonly #client: Pick<KubeClient, "create" | "patch">;
  readonly #resource: Resource<TransferObject>;
  readonly #object: TransferObject;
  readonly #options: DataPathEventsOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #recorder: EventRecorder;
  readonly #ended = new AbortController();
  #progress: DataPathProgress | undefined;
  #reporting: Promise<void> | undefined;

  constructor(
    client: KubeClient,
    resource: Resource<TransferObject>,
    object: TransferObject,
    options: DataPathEventsOptions,
  ) {
    const { clock = systemClock, logger = silentLogger, node } = options;
    this.#client = client;
    this.#resource = resource;
    this.#object = object;
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    // Velero's: the component is the object itself.
    const component = object.metadata.name ?? "";
    this.#recorder = createEventRecorder(client, { component, host: node, clock, logger });
  }

  /** Written behind the caller, in order. */
  tell(reason: DataPathReason, message: string): void {
    const type = reason === dataPathReasons.failed ? "Warning" : "Normal";
    this.#recorder.record(this.#resource, this.#object, { type, reason, message });
  }

  /** Keeps the latest, which is written when it is time. */
  progress(progress: DataPathProgress): void {
    this.#progress = progress;
    this.#reporting ??= this.#report();
  }

  /** Waits until all is written, or given up when the time is over. */
  async end(timeoutMs: number): Promise<void> {
    this.#ended.abort();
    await this.#reporting;
    const signal = AbortSignal.timeout(timeoutMs);
    await this.#recorder.flush({ signal }).catch(() => {
      this.#logger.warn("Left events unwritten", { timeoutMs });
    });
  }

  async #report(): Promise<void> {
    const { signal } = this.#ended;
    let told = "";
    let name: string | undefined;
    while (!signal.aborted) {
      const message = encodeProgress(this.#progress ?? { totalBytes: 0, doneBytes: 0 });
      if (message !== told) {
        try {
          name = await this.#write(name, message, signal);
          told = message;
        } catch (error) {
          // The next one says more.
          if (!signal.aborted) this.#logger.debug("Could not tell progress", { error });
        }
      }
      await this.#clock.sleep(this.#options.progressIntervalMs, { signal }).catch(() => {});
    }
  }

  async #write(
    name: string | undefined,
    message: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { metadata } = this.#object;
    const { namespace = "", uid = "" } = metadata;
    const lastTimestamp = kubeTime(new Date(Number(this.#clock.nowNs() / nsPerMs)));
    if (name !== undefined) {
      try {
        await this.#client.patch(
          events,
          { namespace, name },
          { message, lastTimestamp },
          { signal },
        );
        return name;
      } catch (error) {
        // Gone by its age; or an account that may only create, as Velero's.
        const isFresh =
          !isDmError(error, "DM_KUBE_NOT_FOUND") && !isDmError(error, "DM_KUBE_FORBIDDEN");
        if (isFresh) throw error;
      }
    }
    const component = metadata.name ?? "";
    const { group, kind, version } = this.#resource;
    const event: KubeEvent = {
      metadata: {
        namespace,
        name: `${component.slice(0, 230)}.${this.#clock.nowNs().toString(16)}`,
      },
      involvedObject: {
        apiVersion: `${group}/${version}`,
        kind,
        name: component,
        namespace,
        uid,
      },
      type: "Normal",
      reason: dataPathReasons.progress,
      message,
      source: { component, host: this.#options.node },
      firstTimestamp: lastTimestamp,
      lastTimestamp,
      count: 1,
      reportingComponent: component,
      reportingInstance: this.#options.node,
    };
    return (await this.#client.create(events, event, { signal })).metadata.name;
  }
}
