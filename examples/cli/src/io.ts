/**
 * Everything a command touches besides its repository, so that tests run commands in their own process.
 * @module
 */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Lists, tables, JSON, bytes. */
  out(data: string | Uint8Array): Promise<void>;
  /** Messages, progress, errors. */
  err(text: string): void;
  readStdin(): Promise<string>;
  /** Whether messages go to a terminal: only then is progress drawn. */
  readonly isTerminal: boolean;
}

/** A message of its own line to stderr. */
export function say(io: Io, text: string): void {
  io.err(`${text}\n`);
}

/** An error in how the command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
