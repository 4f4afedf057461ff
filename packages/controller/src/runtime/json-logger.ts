/**
 * Log lines as JSON, one object each, for collectors of pod logs; or as `name=value` for people, in the way of Velero.
 * Proof: test/runtime/json-logger.test.ts.
 * @module
 */
import { type Clock, isDmError, type LogFields, type Logger, nsPerMs, systemClock } from "@dm/core";

export type LogLevel = "debug" | "info" | "warn" | "error";

export const logLevels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export type LogFormat = "json" | "text";

export interface JsonLoggerOptions {
  /** The lowest level that is written. */
  readonly level?: LogLevel | undefined;
  /** `json` by default. */
  readonly format?: LogFormat | undefined;
  /** In every line, such as the node's name. */
  readonly fields?: LogFields | undefined;
  /** Takes one line with its line break; standard error by default. */
  readonly write?: ((line: string) => void) | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Fields whose names sound like secrets are not written, at any depth, and long values are cut; errors become their code, text
 * and details. Never throws.
 * @example const log = jsonLogger({ level: "info", fields: { node: "n1" } });
 */
export function jsonLogger(options: JsonLoggerOptions = {}): Logger {
  const { level = "info", format = "json", fields: common = {}, clock = systemClock } = options;
  const { write = (line: string): void => void process.stderr.write(line) } = options;
  const lowest = logLevels.indexOf(level);
  const at = (name: LogLevel) => {
    if (logLevels.indexOf(name) < lowest) return () => undefined;
    return (message: string, fields: LogFields = {}): void => {
      const time = new Date(Number(clock.nowNs() / nsPerMs)).toISOString();
      const safe = plain({ ...common, ...fields }, 0) as Record<string, unknown>;
      try {
        // No field takes the place of these three.
        const first = { time, level: name, message };
        const line = { ...first, ...safe, ...first };
        write(`${format === "json" ? JSON.stringify(line) : textOf(line)}\n`);
      } catch {
        // A log that cannot be written must not end what it tells of.
      }
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** What is more than a word is quoted, so that no value makes a line or a field of its own. */
function textOf({ message, ...fields }: Record<string, unknown>): string {
  const { time, level, ...others } = fields;
  return Object.entries({ time, level, msg: message, ...others })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${wordOf(name)}=${wordOf(value)}`)
    .join(" ");
}

function wordOf(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}

/** The same logger with more fields in every line. */
export function withFields(logger: Logger, fields: LogFields): Logger {
  return {
    debug: (message, more) => logger.debug(message, { ...fields, ...more }),
    info: (message, more) => logger.info(message, { ...fields, ...more }),
    warn: (message, more) => logger.warn(message, { ...fields, ...more }),
    error: (message, more) => logger.error(message, { ...fields, ...more }),
  };
}

const secretName =
  /pass(word|phrase)|secret(?!name|ref$)|token|credential|authorization|cookie|private.?key|access.?key/i;
const maxDepth = 6;
const maxTextLength = 4_096;
const maxItems = 100;

function plain(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "bigint":
      return value.toString();
    case "string":
      return value.length > maxTextLength ? `${value.slice(0, maxTextLength)}…` : value;
    case "function":
    case "symbol":
      return String(value).slice(0, 100);
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (depth >= maxDepth) return "…";
  if (value instanceof Error) return plainError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return value.slice(0, maxItems).map((item) => plain(item, depth + 1));
  const result: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    result[name] = secretName.test(name) ? "[not shown]" : plain(inner, depth + 1);
  }
  return result;
}

function plainError(error: Error, depth: number): unknown {
  const { message, cause } = error;
  const why = cause === undefined ? {} : { cause: plain(cause, depth + 1) };
  if (isDmError(error)) {
    return { code: error.code, message, details: plain(error.details, depth + 1), ...why };
  }
  // A stack only where nobody expected an error.
  const { code } = error as { code?: unknown };
  return { ...(typeof code === "string" ? { code } : {}), message, stack: error.stack, ...why };
}
