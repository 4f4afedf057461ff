/**
 * Flags that server, node agent and operator share, and those of Velero's programs that are accepted so that their command lines
 * start ours, although they mean nothing here: each role says so in its log.
 * Proof: test/server-flags.test.ts.
 * @module
 */
import type { LogFormat, LogLevel } from "@dm/controller/runtime";
import { type Command, InvalidArgumentError, Option } from "commander";

export interface RoleFlags {
  readonly namespace?: string | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Of probes and metrics; the pod's address by default. */
  readonly metricsHost?: string | undefined;
  readonly metricsPort: number;
  /** Flags that were given and have no effect. */
  readonly withoutEffect: readonly string[];
}

const defaultPort = 8085;

export function addCommonFlags(command: Command): Command {
  return command
    .option("--namespace <name>", "of the data mover; that of the pod by default")
    .option(
      "--log-level <level>",
      "least level that is logged: debug, info, warn or error; or one of Velero's",
      logLevelOf,
      "info",
    )
    .addOption(
      new Option("--log-format <format>", "of lines of the log")
        .choices(["json", "text"])
        .default("json"),
    )
    .option("--metrics-port <port>", "of probes and metrics; 0 for any that is free; 8085", portOf)
    .option(
      "--metrics-address <address>",
      "the same as Velero writes it, such as :8085",
      addressOf,
    );
}

/** Call in the action of a command with {@link addCommonFlags}. */
export function commonFlags(command: Command): RoleFlags {
  const { logFormat, logLevel, metricsAddress, metricsPort, namespace } = command.opts<{
    namespace?: string;
    logLevel: LogLevel;
    logFormat: LogFormat;
    metricsPort?: number;
    metricsAddress?: Address;
  }>();
  const isGiven = (option: Option): boolean =>
    command.getOptionValueSource(option.attributeName()) === "cli";
  return {
    namespace,
    logLevel,
    logFormat,
    metricsHost: metricsAddress?.host,
    metricsPort: metricsPort ?? metricsAddress?.port ?? defaultPort,
    withoutEffect: command.options
      .filter((option) => ignored.has(option.long ?? "") && isGiven(option))
      .map(({ long }) => long ?? ""),
  };
}

/** Levels of Velero's, by ours. */
export function logLevelOf(text: string): LogLevel {
  const levels = {
    trace: "debug",
    debug: "debug",
    info: "info",
    warn: "warn",
    warning: "warn",
    error: "error",
    fatal: "error",
    panic: "error",
  } as const;
  const level = text.toLowerCase();
  if (Object.hasOwn(levels, level)) return levels[level as keyof typeof levels];
  throw new InvalidArgumentError(`It is none of ${Object.keys(levels).join(", ")}.`);
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw new InvalidArgumentError(`${text} is no port.`);
  return port;
}

interface Address {
  /** Undefined for every address of the pod. */
  readonly host?: string | undefined;
  readonly port: number;
}

function addressOf(text: string): Address {
  const [, host = "", port] = /^(.*):(\d+)$/.exec(text) ?? [];
  if (port === undefined) throw new InvalidArgumentError("It is no address such as :8085.");
  return { host: host.replace(/^\[(.*)\]$/, "$1") || undefined, port: portOf(port) };
}

/** The Kubernetes client here bounds requests in flight and not their rate; what is beside it belongs to Velero's libraries. */
const unused = [
  "--add_dir_header [value]",
  "--alsologtostderr [value]",
  "--client-burst <number>",
  "--client-page-size <number>",
  "--client-qps <number>",
  "--colorized [value]",
  "--disable-informer-cache [value]",
  "--item-block-worker-count <number>",
  "--log_backtrace_at <where>",
  "--log_dir <path>",
  "--log_file <path>",
  "--log_file_max_size <number>",
  "--logtostderr [value]",
  "--max-concurrent-k8s-connections <number>",
  "--one_output [value]",
  "--plugin-dir <path>",
  "--profiler-address <address>",
  "--skip_headers [value]",
  "--skip_log_headers [value]",
  "--stderrthreshold <level>",
  "-v, --v <level>",
  "--vmodule <pattern>",
];
const ignored = new Set(unused.map((name) => /--\S+/.exec(name)?.[0] ?? ""));

export function addUnusedFlags(command: Command): Command {
  for (const name of unused)
    command.addOption(new Option(name, "accepted, without effect").hideHelp());
  return command;
}
