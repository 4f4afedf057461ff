/**
 * The processes that touch a repository: a mover for one volume, a maintenance for one repository.
 * @module
 */
import { maintenanceSettings, runMaintenance } from "@dm/controller";
import { moverSettings, runMover } from "@dm/controller/mover";
import { jsonLogger, stopSignal } from "@dm/controller/runtime";

/** @returns the exit code. */
export async function runMoverRole(args: readonly string[]): Promise<number> {
  const options = { stopSignal: stopSignal(), logger: jsonLogger({ level: "info" }) };
  return (await runMover(moverSettings(args, process.env), options)).exitCode;
}

/** @returns the exit code. */
export async function runMaintenanceRole(args: readonly string[]): Promise<number> {
  const options = { signal: stopSignal(), logger: jsonLogger({ level: "info" }) };
  return (await runMaintenance(maintenanceSettings(args, process.env), options)).exitCode;
}
