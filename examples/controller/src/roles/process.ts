/**
 * What every role takes from its pod.
 * @module
 */
import { jsonLogger, type LogLevel } from "@dm/controller/runtime";
import type { Logger } from "@dm/core";

export interface RoleFlags {
  readonly namespace?: string | undefined;
  readonly logLevel: LogLevel;
  readonly metricsPort: number;
}

/** @throws {Error} when a variable that the manifests set is missing */
export function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`the environment has no ${name}; the manifests set it`);
  return value;
}

export function loggerOf({ logLevel }: RoleFlags): Logger {
  return jsonLogger({ level: logLevel });
}

/** Probes and scrapers come to the pod's address. */
export function endpointsOf({ metricsPort }: RoleFlags): { host: string; port: number } {
  return { host: process.env["POD_IP"] || "127.0.0.1", port: metricsPort };
}
