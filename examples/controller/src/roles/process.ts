/**
 * What every role takes from its pod.
 * @module
 */
import { jsonLogger } from "@dm/controller/runtime";
import type { Logger } from "@dm/core";
import type { RoleFlags } from "./common-flags.ts";

/** @throws {Error} when a variable that the manifests set is missing */
export function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`the environment has no ${name}; the manifests set it`);
  return value;
}

/** Says at once which flags have no effect. */
export function loggerOf({ logFormat, logLevel, withoutEffect }: RoleFlags): Logger {
  const logger = jsonLogger({ level: logLevel, format: logFormat });
  if (withoutEffect.length > 0)
    logger.info("Flags of Velero's have no effect here", { flags: withoutEffect.join(" ") });
  return logger;
}

/** Probes and scrapers come to the pod's address. */
export function endpointsOf({ metricsHost, metricsPort }: RoleFlags): {
  host: string;
  port: number;
} {
  return { host: metricsHost ?? (process.env["POD_IP"] || "127.0.0.1"), port: metricsPort };
}
