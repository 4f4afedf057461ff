/**
 * Messages to stderr, by level. Those that repeat the command line or the insides of the program are written with the
 * secrets that the command was given blotted out. Others never mention any, and are left alone: a blotted word in a
 * sentence that everybody knows would give a simple password away.
 * @module
 */
import type { LogFields, Logger } from "@dm/core";
import { type Io, UsageError } from "./io.ts";

export const logLevels = ["debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Shorter secrets would blot out half of every message; they are not safe anyway. */
const shortestBlotted = 4;

export class Messages {
  readonly #io: Io;
  readonly #secrets = new Set<string>();
  level: LogLevel = "info";

  constructor(io: Io) {
    this.#io = io;
  }

  /** From now on `text` is blotted out of messages that might repeat it. */
  keepSecret(text: string | undefined): void {
    for (const secret of [text, text?.trim()]) {
      if (secret && secret.length >= shortestBlotted) this.#secrets.add(secret);
    }
  }

  /** A message of its own line, unless the log level leaves it out. */
  say(text: string, level: LogLevel = "info"): void {
    if (logLevels.indexOf(level) < logLevels.indexOf(this.level)) return;
    if (level === "debug") this.writeBlotted(`${text}\n`);
    else this.#io.err(`${text}\n`);
  }

  writeBlotted(text: string): void {
    let blotted = text;
    for (const secret of this.#secrets) blotted = blotted.replaceAll(secret, "****");
    this.#io.err(blotted);
  }

  /** The logger that libraries get. */
  get logger(): Logger {
    const at =
      (level: LogLevel) =>
      (message: string, fields: LogFields = {}): void =>
        this.say(`${level.toUpperCase()} ${message}${fieldText(fields)}`, level);
    // What a library finds worth an info line is detail to the user of a command.
    return { debug: at("debug"), info: at("debug"), warn: at("warning"), error: at("error") };
  }
}

function fieldText(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === "bigint" ? value : JSON.stringify(value)}`)
    .join("");
}

export function parseLogLevel(text: string): LogLevel {
  const level = logLevels.find((known) => known === text);
  if (!level) throw new UsageError(`--log-level takes ${logLevels.join(", ")}, not ${text}`);
  return level;
}
