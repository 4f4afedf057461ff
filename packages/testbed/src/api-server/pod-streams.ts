/**
 * What the API server asks the kubelet of a pod's node: logs, and commands in running containers.
 * @module
 */
import type { Readable, Writable } from "node:stream";

export interface PodTarget {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly nodeName: string;
  /** Always set: the server fills in the only container, or refuses. */
  readonly container: string;
}

export interface LogOptions {
  readonly follow: boolean;
  /** Of the run before the present one. */
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  readonly sinceSeconds: number | undefined;
  /** RFC 3339. */
  readonly sinceTime: string | undefined;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  /** Undefined when the client gives none. Ends when the client closes it. */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export type ExecResult =
  | { readonly exitCode: number }
  /** The command could not be started. */
  | { readonly error: string };

/** A kubelet, or something that finds the right one. Refuses with `ApiError`. */
export interface PodStreams {
  /** Chunks of the log; ends after what there is, or with `follow` when the container has ended. */
  log(target: PodTarget, options: LogOptions): AsyncIterable<Uint8Array | string>;
  /** Resolves when the command has ended. */
  exec(target: PodTarget, options: ExecOptions): Promise<ExecResult>;
}
