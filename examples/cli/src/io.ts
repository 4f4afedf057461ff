/**
 * Everything a command touches besides its repository, so that tests run commands in their own process.
 * @module
 */
import type { Clock } from "@dm/core";
import type { DeriveKey } from "@dm/repo";
import type { EarlyKey } from "./early-key.ts";

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Lists, tables, JSON, bytes. */
  out(data: string | Uint8Array): Promise<void>;
  /** Messages, progress, errors. */
  err(text: string): void;
  /** Everything from standard input, as text. */
  readStdin(): Promise<string>;
  /** Standard input as it comes; missing where there is none. */
  openStdin?(): AsyncIterable<Uint8Array>;
  /** Asks a person for a secret, without an echo; undefined when nobody sits at a terminal. */
  askSecret(prompt: string): Promise<string | undefined>;
  /** Asks a question; undefined when there is nobody to answer, nor a line of standard input. */
  ask?(prompt: string): Promise<string | undefined>;
  /** Whether messages go to a terminal: only then is progress drawn. */
  readonly isTerminal: boolean;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
  /** The system's clock by default. */
  readonly clock?: Clock | undefined;
  /** A key that the program has begun to derive. */
  readonly earlyKey?: EarlyKey | undefined;
  /** Password to key; for tests that keep derived keys. */
  readonly deriveKey?: DeriveKey | undefined;
}

/** An error in how the command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command did what it could, and something is missing: exit code 3. */
export class LossError extends Error {
  override readonly name = "LossError";
}
