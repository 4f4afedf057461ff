/**
 * The few assertions of the contract suite, so that it needs no test library.
 * @module
 */
import { equalBytes, isDmError } from "@dm/core";

export function assert(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Error(message);
}

export function assertEqual(actual: unknown, wanted: unknown, what: string): void {
  const [found, expected] = [JSON.stringify(actual), JSON.stringify(wanted)];
  assert(found === expected, `${what}: expected ${expected}, got ${found}`);
}

export function assertBytes(actual: Uint8Array, wanted: Uint8Array, what: string): void {
  assert(actual instanceof Uint8Array, `${what}: not a Uint8Array`);
  assert(
    actual.length === wanted.length,
    `${what}: ${actual.length} bytes instead of ${wanted.length}`,
  );
  assert(equalBytes(actual, wanted), `${what}: other bytes of the same length`);
}

/** The reason with which a promise, or the thenable that `run` makes, is rejected. */
export async function rejection(run: () => Promise<unknown>, what: string): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error(`${what}: was expected to fail`);
}

/** Refused with this error class and code. Compares names, as two copies of a package may be in one process. */
export async function assertCode(
  run: () => Promise<unknown>,
  name: string,
  code: string,
  what: string,
): Promise<void> {
  const error = await rejection(run, what);
  const told = error instanceof Error ? `${error.name} ${error.message}` : String(error);
  assert(isDmError(error, code), `${what}: expected ${code}, got ${told}`);
  assert(error.name === name, `${what}: expected a ${name}, got ${error.name}`);
}
