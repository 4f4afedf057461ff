/**
 * A mover: one process for one volume.
 * @module
 */
import { moverSettings, runMover } from "@dm/controller/mover";
import { jsonLogger, stopSignal } from "@dm/controller/runtime";

/** @returns the exit code. */
export async function runMoverRole(args: readonly string[]): Promise<number> {
  const options = { stopSignal: stopSignal(), logger: jsonLogger({ level: "info" }) };
  const { exitCode } = await runMover(moverSettings(args, process.env), options);
  return exitCode;
}
