/**
 * The command line of a mover in its hosting pod, in this one place. Paths stand in flags of their own, so that a kubelet that
 * runs pods as plain processes can put its own in.
 * Proof: test/expose/hosting-pod.test.ts.
 * @module
 */

import { type DataPathKind, isBackup, nameFlags } from "../mover/data-path-kind.ts";

export interface MoverCommand {
  readonly kind: DataPathKind;
  /** Of the object that asks for it. */
  readonly name: string;
  readonly volumePath: string;
  readonly volumeMode: "Filesystem" | "Block";
  readonly terminationLog: string;
  /** How long it waits for its repository, as Go writes durations. */
  readonly resourceTimeout: string;
  readonly cachePath?: string | undefined;
}

/** @example moverArgs({ kind: "DataUpload", … }) // ["mover", "backup", "--volume-path=/6b1…", "--volume-mode=Filesystem", …] */
export function moverArgs(command: MoverCommand): string[] {
  return [
    "mover",
    isBackup(command.kind) ? "backup" : "restore",
    `--volume-path=${command.volumePath}`,
    `--volume-mode=${command.volumeMode}`,
    `--${nameFlags[command.kind]}=${command.name}`,
    `--termination-log=${command.terminationLog}`,
    `--resource-timeout=${command.resourceTimeout}`,
    ...(command.cachePath === undefined ? [] : [`--cache-volume-path=${command.cachePath}`]),
  ];
}
